//! Sync now for many companies at once: the answer says what was done to each.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{CompanyId, Run, RunCause, RunKind, company, run};

use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, filters, html},
};

#[derive(Template)]
#[template(path = "runs/bulk.html")]
struct Started {
    page: Page,
    rows: Vec<(String, Vec<Run>)>,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    fields: web::Form<Vec<(String, String)>>,
) -> Answer {
    let scope = &principal.scope;
    let chosen = fields.iter().filter(|(name, _)| name == "company");
    let mut rows = Vec::new();
    for (_, id) in chosen {
        let id: CompanyId = id.parse().map_err(|_| PageProblem::NotFound)?;
        let company = company::get(scope, id)
            .await?
            .ok_or(PageProblem::NotFound)?;
        let of = run::Of::Company(id);
        let runs = run::request(scope, of, RunKind::SYNC_NOW, RunCause::Manual).await?;
        rows.push((company.name, runs.unwrap_or_default()));
    }
    if rows.is_empty() {
        return Err(PageProblem::Conflict(
            "No company was chosen. Tick those that should be synced.".into(),
        ));
    }
    let page = Page::new(&request, &portal, &principal, "Syncs started", "jobs")
        .await?
        .under("Jobs", "/jobs");
    html(&Started { page, rows })
}
