//! Tenants: all directories that are known, and one with what it grants and where its data goes.

use actix_web::{HttpRequest, web};
use askama::Template;
use consent::permission::{self, Drift};
use model::{
    CredentialId, Scope, SubscribedSku, Tenant, TenantId, TenantState,
    credential::{self, Credential},
    directory,
    mapping::{self, MappingRow},
    tenant,
};
use serde::Deserialize;

use super::credentials::{ENTRA, cloud_label, frame, with_sign_in};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Html, PAGE_SIZE, Page, Pager, badge, filters, html, query},
};

/// A tenant's state as people see it.
pub(super) fn tenant_badge(tenant: &Tenant) -> Html {
    match tenant.state {
        TenantState::Consented => badge("badge-ok", "circle-check", "Consented"),
        TenantState::Disconnected => badge("badge-bad", "alert-circle", "Disconnected"),
        TenantState::Discovered => badge("", "circle-dashed", "No consent yet"),
    }
}

/// How a tenant became known, in words.
pub(super) fn found_words(tenant: &Tenant) -> &'static str {
    match tenant.found_by.as_str() {
        "consent" => "By consent",
        "gdap" => "GDAP",
        "contract" => "Reseller contract",
        "domains" => "List of domains",
        "single_tenant" => "Its own application",
        "delegated" => "A delegated connection",
        _ => "Unknown",
    }
}

struct Row {
    tenant: Tenant,
    credential: String,
    drift: Drift,
    company: Option<MappingRow>,
    /// Another credential to which the directory has consented already.
    through: Option<String>,
}

#[derive(Template)]
#[template(path = "tenants/index.html")]
struct Index {
    page: Page,
    rows: Vec<Row>,
    credentials: Vec<Credential>,
    list: ListQuery,
    pager: Pager,
    unmapped: usize,
    /// The credential with most of them.
    most_unmapped: Option<CredentialId>,
}

impl Index {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        let chosen = self.list.credential.map(|id| id.to_string());
        let pairs = [
            ("credential", chosen.as_deref().unwrap_or_default()),
            ("state", &self.list.state),
            ("q", &self.list.q),
        ];
        format!("{ENTRA}/tenants.csv{}", query(&pairs))
    }

    fn is_chosen(&self, id: &CredentialId) -> bool {
        self.list.credential == Some(*id)
    }
}

#[derive(Template)]
#[template(path = "tenants/show.html")]
struct Show {
    page: Page,
    tenant: Tenant,
    credential: Credential,
    cloud: String,
    mapping: Option<MappingRow>,
    skus: Vec<SubscribedSku>,
    granted: Option<Vec<String>>,
    required: Vec<permission::Permission>,
    drift: Drift,
    /// Credentials to which its administrator can consent.
    askable: Vec<Credential>,
    link_token: String,
}

impl Show {
    fn is_granted(&self, name: &str) -> Option<bool> {
        self.granted
            .as_ref()
            .map(|names| names.iter().any(|n| n == name))
    }

    fn is_multi(&self) -> bool {
        self.credential.kind == model::CredentialKind::MultiTenant
    }

    fn plans(&self, sku: &SubscribedSku) -> String {
        serde_json::from_str::<Vec<String>>(&sku.service_plans)
            .unwrap_or_default()
            .join(", ")
    }
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    credential: Option<CredentialId>,
    #[serde(default)]
    state: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: u64,
}

/// Tenants that are filtered; how many of all are unmapped, and the credential with most of those.
struct Found {
    rows: Vec<Row>,
    credentials: Vec<Credential>,
    unmapped: usize,
    most_unmapped: Option<CredentialId>,
}

async fn find(scope: &Scope, list: &ListQuery) -> Result<Found, PageProblem> {
    let credentials = credential::list(scope).await?;
    let mappings = mapping::list(scope, None).await?;
    let wanted = list.q.trim().to_lowercase();
    let all = tenant::list(scope, None).await?;
    let mut rows: Vec<Row> = all
        .iter()
        .filter(|t| list.credential.is_none_or(|id| t.credential_id == id))
        .cloned()
        .filter_map(|tenant| {
            let credential = credentials.iter().find(|c| c.id == tenant.credential_id)?;
            let drift = tenant
                .granted_list()
                .map(|g| {
                    let is_home = tenant.directory_id == credential.directory_id;
                    Drift::of(&permission::required_by(credential), &g, is_home)
                })
                .unwrap_or_default();
            let through = all
                .iter()
                .filter(|t| tenant.state == TenantState::Discovered && t.id != tenant.id)
                .find(|t| {
                    t.directory_id == tenant.directory_id && t.state == TenantState::Consented
                })
                .and_then(|t| credentials.iter().find(|c| c.id == t.credential_id))
                .map(|c| c.name.clone());
            Some(Row {
                through,
                credential: credential.name.clone(),
                company: mappings
                    .iter()
                    .find(|m| m.mapping.directory_id == tenant.directory_id)
                    .cloned(),
                drift,
                tenant,
            })
        })
        .collect();
    let is_unmapped = |r: &Row| r.tenant.state == TenantState::Consented && r.company.is_none();
    let unmapped = rows.iter().filter(|r| is_unmapped(r)).count();
    let most_unmapped = credentials
        .iter()
        .map(|c| {
            let own = |r: &&Row| is_unmapped(r) && r.tenant.credential_id == c.id;
            (rows.iter().filter(own).count(), c.id)
        })
        .filter(|(count, _)| *count > 0)
        .max_by_key(|(count, _)| *count)
        .map(|(_, id)| id);
    rows.retain(|r| match list.state.as_str() {
        "" => true,
        "unmapped" => is_unmapped(r),
        "drift" => !r.drift.is_none(),
        "discovered" => r.tenant.state == TenantState::Discovered && r.through.is_none(),
        state => r.tenant.state.as_str() == state,
    });
    rows.retain(|r| {
        wanted.is_empty()
            || r.tenant.label().to_lowercase().contains(&wanted)
            || r.tenant.domains.to_lowercase().contains(&wanted)
            || r.tenant.directory_id.to_string().contains(&wanted)
    });
    Ok(Found {
        rows,
        credentials,
        unmapped,
        most_unmapped,
    })
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let found = find(&principal.scope, &list).await?;
    let rows: Vec<(Tenant, String, String)> = found
        .rows
        .into_iter()
        .map(|row| {
            let company = row.company.map(|m| m.company.name).unwrap_or_default();
            (row.tenant, row.credential, company)
        })
        .collect();
    Ok(csv_file::whole(&report::csv::TENANTS, "", &rows))
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let scope = &principal.scope;
    let mut page = frame(&request, &portal, &principal, "Tenants")
        .await?
        .under("Microsoft Entra ID", ENTRA);
    page.section = "tenants";
    let list = list.into_inner();
    let Found {
        rows,
        credentials,
        unmapped,
        most_unmapped,
    } = find(scope, &list).await?;
    let total = rows.len() as u64;
    let from = usize::try_from((list.page.max(1) - 1) * PAGE_SIZE).unwrap_or(usize::MAX);
    let size = usize::try_from(PAGE_SIZE).unwrap_or(50);
    let rows: Vec<Row> = rows.into_iter().skip(from).take(size).collect();
    let chosen = list.credential.map(|c| c.to_string()).unwrap_or_default();
    let pager = Pager::new(list.page, rows.len(), total, |n| {
        let pairs = [
            ("credential", chosen.as_str()),
            ("state", &list.state),
            ("q", &list.q),
            ("page", &n.to_string()),
        ];
        format!("{ENTRA}/tenants{}", query(&pairs))
    });
    html(&Index {
        page,
        rows,
        credentials,
        list,
        pager,
        unmapped,
        most_unmapped,
    })
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<TenantId>,
) -> Answer {
    let scope = &principal.scope;
    let tenant = tenant::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let credential = credential::get(scope, tenant.credential_id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let mut page = frame(&request, &portal, &principal, &tenant.label())
        .await?
        .under("Microsoft Entra ID", ENTRA)
        .under("Tenants", format!("{ENTRA}/tenants"));
    page.section = "tenants";
    let mapping = mapping::list(scope, None)
        .await?
        .into_iter()
        .find(|m| m.mapping.directory_id == tenant.directory_id);
    let skus = match &mapping {
        Some(m) => directory::subscribed_skus(scope, m.mapping.id).await?,
        None => vec![],
    };
    let mut required = permission::required_by(&credential);
    let is_home = tenant.directory_id == credential.directory_id;
    required.retain(|p| is_home || !p.home_only);
    let granted = tenant.granted_list();
    let drift = granted
        .as_ref()
        .map(|g| Drift::of(&permission::required_by(&credential), g, is_home))
        .unwrap_or_default();
    // What a single-tenant credential discovered is asked for by one of many tenants.
    let askable = if tenant.state == TenantState::Discovered
        || tenant.state == TenantState::Disconnected
        || !drift.missing.is_empty()
    {
        credential::list(scope)
            .await?
            .into_iter()
            .filter(|c| c.kind == model::CredentialKind::MultiTenant && c.revoked_at.is_none())
            .filter(|c| c.cloud == tenant.cloud)
            .filter(|c| {
                credential.kind != model::CredentialKind::MultiTenant || c.id == credential.id
            })
            .collect()
    } else {
        vec![]
    };
    let shown = Show {
        page,
        askable,
        link_token: keys::random_token()?,
        cloud: cloud_label(&portal, &tenant.cloud),
        mapping,
        skus,
        granted,
        required,
        drift,
        credential,
        tenant,
    };
    with_sign_in(&portal, html(&shown))
}
