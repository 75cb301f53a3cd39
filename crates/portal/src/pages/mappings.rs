//! Company mapping: the list, the first step of the wizard, deletion.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    CredentialId, MappingId, RunCause, RunKind, Timestamp,
    credential::{self, Credential},
    mapping::{self, MappingRow},
    run, tenant,
};
use serde::Deserialize;

use super::credentials::{ENTRA, frame};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, Page, ago, badge, filters, html, html_status, query, see_other},
};

pub(super) const MAPPINGS: &str = "/settings/integrations/entra/mappings";

#[derive(Template)]
#[template(path = "mappings/index.html")]
struct Index {
    page: Page,
    credentials: Vec<Credential>,
    chosen: Option<Credential>,
    rows: Vec<MappingRow>,
    search: String,
    unmapped: usize,
    saved: usize,
    deleted: bool,
}

impl Index {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        let chosen = self.chosen.as_ref().map(|c| c.id.to_string());
        let pairs = [
            ("credential", chosen.as_deref().unwrap_or_default()),
            ("q", &self.search),
        ];
        format!("{ENTRA}/mappings.csv{}", query(&pairs))
    }
}

#[derive(Template)]
#[template(path = "mappings/new.html")]
struct New {
    page: Page,
    credential: Credential,
    unmapped: usize,
    companies: u64,
    tenant: Option<model::TenantId>,
}

/// How a mapping stands, as people see it.
pub(super) fn mapping_badge(row: &MappingRow, now: &Timestamp) -> Html {
    use model::RunState::{Cancelled, Completed, Failed, Partial, Queued, Retrying, Running};
    if row.tenant.state == model::TenantState::Disconnected {
        return badge("badge-bad", "alert-circle", "Disconnected");
    }
    match (
        row.last_run.as_ref().map(|r| r.state),
        row.mapping.last_sync_at,
    ) {
        (Some(Running), _) => badge("badge-info", "loader-2", "Syncing"),
        (Some(Queued), _) => badge("", "clock", "Queued"),
        (Some(Retrying), _) => badge("badge-warn", "rotate-clockwise", "Retrying"),
        (Some(Failed), _) => badge("badge-bad", "circle-x", "Failed"),
        (Some(Partial), Some(at)) => badge(
            "badge-warn",
            "alert-triangle",
            &format!("Partly synced {}", ago(at, *now)),
        ),
        (Some(Completed | Cancelled), Some(at)) => badge(
            "badge-ok",
            "circle-check",
            &format!("Synced {}", ago(at, *now)),
        ),
        _ => badge("", "circle-dashed", "Never synced"),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    pub(super) credential: Option<CredentialId>,
    /// The tenant that the wizard was opened for.
    tenant: Option<model::TenantId>,
    #[serde(default)]
    q: String,
    #[serde(default)]
    saved: usize,
    #[serde(default)]
    deleted: String,
}

/// The chosen credential among the live ones: the one of the address, else the first.
pub(super) async fn choose(
    principal: &Signed,
    wanted: Option<CredentialId>,
) -> Result<(Vec<Credential>, Option<Credential>), PageProblem> {
    let all: Vec<Credential> = credential::list(&principal.scope)
        .await?
        .into_iter()
        .filter(|c| c.revoked_at.is_none())
        .collect();
    let chosen = match wanted {
        Some(id) => Some(
            all.iter()
                .find(|c| c.id == id)
                .cloned()
                .ok_or(PageProblem::NotFound)?,
        ),
        // One that works goes before one that never did.
        None => all
            .iter()
            .find(|c| c.last_success_at.is_some())
            .or(all.first())
            .cloned(),
    };
    Ok((all, chosen))
}

/// Keeps the mappings that a search is after.
fn search(rows: &mut Vec<MappingRow>, text: &str) {
    let wanted = text.trim().to_lowercase();
    rows.retain(|r| {
        wanted.is_empty()
            || r.company.name.to_lowercase().contains(&wanted)
            || r.tenant.display_name.to_lowercase().contains(&wanted)
            || r.tenant.default_domain.to_lowercase().contains(&wanted)
            || r.tenant.directory_id.to_string().contains(&wanted)
    });
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let (_, chosen) = choose(&principal, list.credential).await?;
    let mut rows = match &chosen {
        Some(credential) => mapping::list(&principal.scope, Some(credential.id)).await?,
        None => vec![],
    };
    search(&mut rows, &list.q);
    Ok(csv_file::whole(&report::csv::MAPPINGS, "", &rows))
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let scope = &principal.scope;
    let (credentials, chosen) = choose(&principal, list.credential).await?;
    let mut page = frame(&request, &portal, &principal, "Company mapping")
        .await?
        .under("Microsoft Entra ID", ENTRA);
    page.section = "mappings";
    let (mut rows, unmapped) = match &chosen {
        Some(c) => (
            mapping::list(scope, Some(c.id)).await?,
            tenant::unmapped(scope, c.id).await?.len(),
        ),
        None => (vec![], 0),
    };
    search(&mut rows, &list.q);
    html(&Index {
        page,
        credentials,
        chosen,
        rows,
        search: list.q.clone(),
        unmapped,
        saved: list.saved,
        deleted: !list.deleted.is_empty(),
    })
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let (_, chosen) = choose(&principal, list.credential).await?;
    let Some(credential) = chosen else {
        return Ok(see_other(MAPPINGS));
    };
    let page = wizard_frame(&request, &portal, &principal, "Add mapping").await?;
    let companies = model::company::list(&principal.scope, "", model::Window::page(1, 1))
        .await?
        .total;
    html(&New {
        page,
        unmapped: tenant::unmapped(&principal.scope, credential.id)
            .await?
            .len(),
        companies,
        credential,
        tenant: list.tenant,
    })
}

pub(super) async fn wizard_frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    title: &str,
) -> Result<Page, PageProblem> {
    let mut page = frame(request, portal, principal, title)
        .await?
        .under("Microsoft Entra ID", ENTRA)
        .under("Company mapping", MAPPINGS);
    page.section = "mappings";
    Ok(page)
}

/// Back to the list, which says how many were saved and that their syncs began.
pub(super) fn saved(credential: CredentialId, count: usize) -> String {
    let pairs = [
        ("credential", credential.to_string()),
        ("saved", count.to_string()),
    ];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    format!("{MAPPINGS}{}", query(&pairs))
}

pub(crate) async fn delete(principal: Signed, id: web::Path<MappingId>) -> Answer {
    let row = mapping::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    if !mapping::delete(&principal.scope, *id).await? {
        return Err(PageProblem::NotFound);
    }
    let credential = row.mapping.credential_id.to_string();
    Ok(see_other(&format!(
        "{MAPPINGS}{}",
        query(&[("credential", &credential), ("deleted", "yes")])
    )))
}

/// Sync now, of one mapping.
pub(crate) async fn sync(principal: Signed, id: web::Path<MappingId>) -> Answer {
    let runs = run::request(
        &principal.scope,
        run::Of::Mapping(*id),
        RunKind::SYNC_NOW,
        RunCause::Manual,
    )
    .await?
    .ok_or(PageProblem::NotFound)?;
    match runs.first() {
        Some(run) => Ok(see_other(&format!("/jobs/{}", run.id))),
        None => Err(PageProblem::NotFound),
    }
}

#[derive(Template)]
#[template(path = "mappings/remap.html")]
struct Remap {
    page: Page,
    row: MappingRow,
    companies: Vec<model::Company>,
    error: Option<String>,
}

async fn remap_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    id: MappingId,
    error: Option<String>,
) -> Answer {
    let scope = &principal.scope;
    let row = mapping::get(scope, id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let page = wizard_frame(request, portal, principal, "Remap").await?;
    let mut companies = model::company::list(scope, "", model::Window::page(1, 10_000))
        .await?
        .rows;
    companies.retain(|c| c.id != row.company.id);
    let status = match error {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let remap = Remap {
        page,
        row,
        companies,
        error,
    };
    html_status(status, &remap)
}

pub(crate) async fn remap(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<MappingId>,
) -> Answer {
    remap_page(&request, &portal, &principal, *id, None).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct RemapForm {
    #[serde(default)]
    company_id: String,
}

impl Remap {
    fn is_interval(&self, minutes: &i64) -> bool {
        self.row.mapping.interval_minutes == Some(*minutes)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct IntervalForm {
    #[serde(default)]
    minutes: String,
}

/// Sets how often the mapping is synced.
pub(crate) async fn set_interval(
    principal: Signed,
    id: web::Path<MappingId>,
    form: web::Form<IntervalForm>,
) -> Answer {
    let scope = &principal.scope;
    let row = mapping::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    // An empty choice is the credential's; what is no number is refused with the other numbers.
    let minutes = match form.minutes.as_str() {
        "" => None,
        text => Some(text.parse().unwrap_or(0)),
    };
    mapping::set_interval(scope, *id, minutes).await?;
    Ok(see_other(&saved(row.mapping.credential_id, 1)))
}

/// Maps to another company from now on.
pub(crate) async fn save_remap(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<MappingId>,
    form: web::Form<RemapForm>,
) -> Answer {
    let scope = &principal.scope;
    let row = mapping::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let Ok(company) = form.company_id.parse() else {
        let error = Some("Choose the company.".to_owned());
        return remap_page(&request, &portal, &principal, *id, error).await;
    };
    match mapping::remap(scope, *id, company).await {
        Ok(Some(_)) => Ok(see_other(&saved(row.mapping.credential_id, 1))),
        Ok(None) => Err(PageProblem::NotFound),
        Err(model::Error::Invalid(errors)) => {
            let error = errors.first().map(|e| e.message.clone());
            remap_page(&request, &portal, &principal, *id, error).await
        }
        Err(other) => Err(other.into()),
    }
}
