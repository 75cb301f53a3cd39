//! Companies: list, create, edit, and the overview of one.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{
    Company, CompanyId, Domain, FieldError, Listing, Run, RunCause, RunKind, SecureScore,
    Timestamp, Window,
    company::{self, Draft},
    directory::{self, Overview},
    inventory::{self, Hold},
    mapping::{self, MappingRow},
    run, secure_score,
};
use report::csv as sheets;
use serde::Deserialize;

use super::error_of;
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{
        Answer, PAGE_SIZE, Page, Pager, filters, html, html_status, initials, query, see_other,
    },
};

#[derive(Template)]
#[template(path = "companies/index.html")]
struct Index {
    page: Page,
    rows: Vec<(Company, Vec<MappingRow>)>,
    search: String,
    pager: Pager,
    imported: Option<usize>,
}

impl Index {
    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        format!("/companies.csv{}", query(&[("q", &self.search)]))
    }
}

#[derive(Template)]
#[template(path = "companies/form.html")]
struct Edit {
    page: Page,
    id: Option<CompanyId>,
    draft: Draft,
    same_name: bool,
    errors: Vec<FieldError>,
}

impl Edit {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    /// Whether the name is fine but another company has it.
    fn is_clash(&self) -> bool {
        self.error("name").is_some_and(|e| e.contains("already"))
    }
}

/// What stands at the top of every page of a company.
pub(crate) struct Head {
    pub(crate) company: Company,
    pub(crate) initials: String,
    pub(crate) mappings: Vec<MappingRow>,
    pub(crate) synced_at: Option<Timestamp>,
    pub(crate) open_run: Option<Run>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) tab: &'static str,
}

impl Head {
    /// Reads it; 404 when the company is not in scope.
    pub(crate) async fn load(
        principal: &Signed,
        id: CompanyId,
        tab: &'static str,
    ) -> Result<Self, PageProblem> {
        let scope = &principal.scope;
        let company = company::get(scope, id)
            .await?
            .ok_or(PageProblem::NotFound)?;
        let mappings = mapping::of_company(scope, id, false).await?;
        let filter = run::Filter {
            company: Some(id),
            states: vec![
                model::RunState::Running,
                model::RunState::Queued,
                model::RunState::Retrying,
            ],
            ..run::Filter::default()
        };
        let open = run::list(scope, &filter, Window::page(1, 20)).await?;
        Ok(Self {
            initials: initials(&company.name),
            synced_at: directory::synced_at(&mappings),
            holds: inventory::holds(scope, id).await?,
            open_run: open.rows.into_iter().min_by_key(|r| r.kind),
            company,
            mappings,
            tab,
        })
    }
}

impl Head {
    /// The frame of a page below the company's.
    pub(crate) async fn frame(
        &self,
        request: &HttpRequest,
        portal: &Portal,
        principal: &Signed,
        title: String,
    ) -> Result<Page, PageProblem> {
        Ok(Page::new(request, portal, principal, title, "companies")
            .await?
            .under("Companies", "/companies")
            .under(
                &self.company.name,
                format!("/companies/{}", self.company.id),
            ))
    }
}

#[derive(Template)]
#[template(path = "companies/show.html")]
struct Show {
    page: Page,
    head: Head,
    overview: Overview,
    domains: Vec<Domain>,
    scores: Vec<SecureScore>,
    runs: Vec<Run>,
}

impl Show {
    fn score_percent(&self) -> Option<f64> {
        self.scores.first().and_then(secure_score::percent)
    }

    /// Shares of MFA in percent of all users: registered, not registered, unknown.
    fn mfa_shares(&self) -> [f64; 3] {
        let o = &self.overview;
        let total = o.mfa_registered + o.mfa_not_registered + o.mfa_unknown;
        #[allow(clippy::cast_precision_loss)] // a number of users
        [o.mfa_registered, o.mfa_not_registered, o.mfa_unknown].map(|n| {
            if total == 0 {
                0.0
            } else {
                100.0 * n as f64 / total as f64
            }
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: u64,
    /// How many an import made or changed just before.
    imported: Option<usize>,
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let scope = &principal.scope;
    let page = Page::new(&request, &portal, &principal, "Companies", "companies").await?;
    let found = company::list(scope, &list.q, Window::page(list.page.max(1), PAGE_SIZE)).await?;
    let mappings = mapping::list(scope, None).await?;
    let rows: Vec<_> = found
        .rows
        .into_iter()
        .map(|c| {
            let own = mappings
                .iter()
                .filter(|m| m.company.id == c.id)
                .cloned()
                .collect();
            (c, own)
        })
        .collect();
    let pager = Pager::new(list.page, rows.len(), found.total, |n| {
        format!(
            "/companies{}",
            query(&[("q", &list.q), ("page", &n.to_string())])
        )
    });
    html(&Index {
        page,
        rows,
        search: list.q.clone(),
        pager,
        imported: list.imported,
    })
}

/// Exactly what is filtered, as a file.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let mappings = mapping::list(&principal.scope, None).await?;
    let search = list.into_inner().q;
    let read = move |window| {
        let (principal, search, mappings) = (principal.clone(), search.clone(), mappings.clone());
        async move {
            let found = company::list(&principal.scope, &search, window).await?;
            let with_mappings = |company: Company| {
                let own = mappings.iter().filter(|m| m.company.id == company.id);
                let own = own.cloned().collect();
                (company, own)
            };
            Ok(Listing {
                total: found.total,
                rows: found.rows.into_iter().map(with_mappings).collect(),
            })
        }
    };
    Ok(csv_file::sheet(&sheets::COMPANIES, "", read))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    name: String,
    #[serde(default)]
    domain: String,
    #[serde(default)]
    external_id: String,
    #[serde(default)]
    same_name: Option<String>,
}

impl Form {
    fn draft(&self) -> Draft {
        Draft {
            name: self.name.clone(),
            domain: self.domain.clone(),
            external_id: self.external_id.clone(),
        }
    }
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let page = Page::new(&request, &portal, &principal, "New company", "companies")
        .await?
        .under("Companies", "/companies");
    html(&Edit {
        page,
        id: None,
        draft: Draft::default(),
        same_name: false,
        errors: vec![],
    })
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Form>,
) -> Answer {
    let made = company::create(&principal.scope, &form.draft(), form.same_name.is_some()).await;
    match made {
        Ok(company) => Ok(see_other(&format!("/companies/{}", company.id))),
        Err(model::Error::Invalid(errors)) => {
            let page = Page::new(&request, &portal, &principal, "New company", "companies")
                .await?
                .under("Companies", "/companies");
            let edit = Edit {
                page,
                id: None,
                draft: form.draft(),
                same_name: form.same_name.is_some(),
                errors,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}

async fn edit_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    company: &Company,
) -> Result<Page, PageProblem> {
    Ok(Page::new(
        request,
        portal,
        principal,
        format!("Edit {}", company.name),
        "companies",
    )
    .await?
    .under("Companies", "/companies")
    .under(&company.name, format!("/companies/{}", company.id)))
}

pub(crate) async fn edit(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let company = company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let page = edit_page(&request, &portal, &principal, &company).await?;
    let draft = Draft {
        name: company.name,
        domain: company.domain,
        external_id: company.external_id,
    };
    html(&Edit {
        page,
        id: Some(*id),
        draft,
        same_name: false,
        errors: vec![],
    })
}

pub(crate) async fn update(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    form: web::Form<Form>,
) -> Answer {
    let company = company::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let saved = company::edit(
        &principal.scope,
        *id,
        &form.draft(),
        form.same_name.is_some(),
    )
    .await;
    match saved {
        Ok(_) => Ok(see_other(&format!("/companies/{id}"))),
        Err(model::Error::Invalid(errors)) => {
            let edit = Edit {
                page: edit_page(&request, &portal, &principal, &company).await?,
                id: Some(*id),
                draft: form.draft(),
                same_name: form.same_name.is_some(),
                errors,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &edit)
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let head = Head::load(&principal, *id, "overview").await?;
    let scope = &principal.scope;
    let page = Page::new(
        &request,
        &portal,
        &principal,
        head.company.name.clone(),
        "companies",
    )
    .await?
    .under("Companies", "/companies");
    let filter = run::Filter {
        company: Some(*id),
        ..run::Filter::default()
    };
    let show = Show {
        page,
        overview: directory::overview(scope, *id).await?,
        domains: directory::domains(scope, *id).await?,
        scores: secure_score::newest(scope, *id).await?,
        runs: run::list(scope, &filter, Window::page(1, 6)).await?.rows,
        head,
    };
    html(&show)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Confirmation {
    #[serde(default)]
    mapping: String,
    #[serde(default)]
    name: String,
}

/// Confirms a fall that is held back, and starts the sync that removes what is missing.
pub(crate) async fn confirm(
    principal: Signed,
    id: web::Path<CompanyId>,
    form: web::Form<Confirmation>,
) -> Answer {
    let scope = &principal.scope;
    let own = mapping::of_company(scope, *id, false).await?;
    let chosen = own
        .iter()
        .map(|m| m.mapping.id)
        .find(|id| id.to_string() == form.mapping)
        .ok_or(PageProblem::NotFound)?;
    inventory::confirm(scope, chosen, &form.name)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let of = run::Of::Mapping(chosen);
    let runs = run::request(scope, of, &[RunKind::Directory], RunCause::Reconcile)
        .await?
        .unwrap_or_default();
    Ok(match runs.first() {
        Some(run) => see_other(&format!("/jobs/{}", run.id)),
        None => see_other(&format!("/companies/{id}")),
    })
}

pub(crate) async fn archive(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    if company::archive(&principal.scope, *id).await? {
        Ok(see_other("/companies"))
    } else {
        Err(PageProblem::NotFound)
    }
}
