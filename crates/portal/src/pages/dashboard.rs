//! The dashboard: what to do next, and how syncs stand.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    Run, RunState, Window, company, credential, credential::Credential, mapping,
    mapping::MappingRow, run, secure_score, tenant,
};

use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, filters, html},
};

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    page: Page,
    companies: u64,
    mapped: usize,
    unmapped: usize,
    failing: Vec<Credential>,
    has_credential: bool,
    has_tenant: bool,
    open: i64,
    failed: i64,
    completed: i64,
    stale: Vec<MappingRow>,
    scores: Vec<(MappingRow, f64)>,
    average: Option<f64>,
    recent: Vec<(Run, String)>,
}

impl Dashboard {
    fn is_new(&self) -> bool {
        !self.has_credential || !self.has_tenant || self.mapped == 0
    }
}

/// Data older than this is called stale on the dashboard.
const STALE_MINUTES: i64 = 36 * 60;

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    let scope = &principal.scope;
    let page = Page::new(&request, &portal, &principal, "Dashboard", "dashboard").await?;
    let mappings = mapping::list(scope, None).await?;
    let credentials = credential::list(scope).await?;
    let mut unmapped = 0;
    for credential in credentials.iter().filter(|c| c.revoked_at.is_none()) {
        unmapped += tenant::unmapped(scope, credential.id).await?.len();
    }
    let counts = run::counts(scope).await?;
    let of = |state| counts.get(&state).copied().unwrap_or_default();
    let stale_before = scope.now().plus_minutes(-STALE_MINUTES);
    let newest = secure_score::newest_of_all(scope).await?;
    let mut scores: Vec<(MappingRow, f64)> = mappings
        .iter()
        .filter_map(|m| {
            let score = newest.get(&m.mapping.id)?;
            Some((m.clone(), secure_score::percent(score)?))
        })
        .collect();
    scores.sort_by(|a, b| a.1.total_cmp(&b.1));
    #[allow(clippy::cast_precision_loss)] // a number of mappings
    let average =
        (!scores.is_empty()).then(|| scores.iter().map(|s| s.1).sum::<f64>() / scores.len() as f64);
    let listed = run::list(scope, &run::Filter::default(), Window::page(1, 8)).await?;
    let names = company_names(&mappings);
    let dashboard = Dashboard {
        companies: company::list(scope, "", Window::page(1, 1)).await?.total,
        mapped: mappings.len(),
        unmapped,
        failing: credentials
            .iter()
            .filter(|c| {
                matches!(
                    c.shown_state(scope.now()),
                    "failing" | "expiring" | "expired"
                )
            })
            .cloned()
            .collect(),
        has_credential: credentials.iter().any(|c| c.revoked_at.is_none()),
        has_tenant: !mappings.is_empty() || unmapped > 0,
        open: of(RunState::Queued) + of(RunState::Running) + of(RunState::Retrying),
        failed: of(RunState::Failed) + of(RunState::Partial),
        completed: of(RunState::Completed),
        stale: mappings
            .iter()
            .filter(|m| m.mapping.last_sync_at.is_some_and(|at| at < stale_before))
            .cloned()
            .collect(),
        scores: scores.into_iter().take(8).collect(),
        average,
        recent: listed
            .rows
            .into_iter()
            .map(|r| {
                let name = names.get(&r.company_id).cloned().unwrap_or_default();
                (r, name)
            })
            .collect(),
        page,
    };
    html(&dashboard)
}

/// Names of the companies that have mappings.
pub(super) fn company_names(
    mappings: &[MappingRow],
) -> std::collections::HashMap<model::CompanyId, String> {
    mappings
        .iter()
        .map(|m| (m.company.id, m.company.name.clone()))
        .collect()
}

/// The names of all companies in scope, also of those whose mapping is gone.
pub(super) async fn all_company_names(
    scope: &model::Scope,
) -> Result<std::collections::HashMap<model::CompanyId, String>, PageProblem> {
    let all = company::list(
        scope,
        "",
        Window {
            offset: 0,
            limit: 100_000,
        },
    )
    .await?;
    Ok(all.rows.into_iter().map(|c| (c.id, c.name)).collect())
}
