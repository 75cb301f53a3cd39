//! The list of jobs, and of the syncs that the plan will begin.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    CompanyId, Listing, Run, RunKind, RunState, Scope, Timestamp, Window, run, run::Filter,
};
use serde::Deserialize;

use super::{dashboard::all_company_names, runs::kind_label};
use crate::{
    Portal, csv_file,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, PAGE_SIZE, Page, Pager, collector_label, day, filters, html, query},
};

/// The state of what the plan will begin: no run exists yet.
const SCHEDULED: &str = "scheduled";

#[derive(Template)]
#[template(path = "runs/index.html")]
struct Index {
    page: Page,
    rows: Vec<Row>,
    scheduled: Vec<Planned>,
    counts: Vec<(&'static str, &'static str, u64)>,
    list: ListQuery,
    companies: Vec<(CompanyId, String)>,
    pager: Pager,
    is_live: bool,
    oldest: Option<Run>,
}

/// A sync that the plan will begin.
struct Planned {
    company_id: CompanyId,
    company: String,
    kind: RunKind,
    at: Timestamp,
}

struct Row {
    run: Run,
    company: String,
    read: i64,
    note: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    company: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    page: u64,
}

impl ListQuery {
    fn link(&self, name: &str, value: &str) -> String {
        let mut pairs = [
            ("state", self.state.as_str()),
            ("kind", &self.kind),
            ("company", &self.company),
            ("from", &self.from),
            ("to", &self.to),
            ("page", ""),
        ];
        for pair in &mut pairs {
            if pair.0 == name {
                pair.1 = value;
            }
        }
        format!("/jobs{}", query(&pairs))
    }

    /// The file of what is shown, with the same filters.
    fn csv_link(&self) -> String {
        self.link("page", "").replacen("/jobs", "/jobs.csv", 1)
    }

    fn filter(&self) -> Filter {
        Filter {
            company: self.company.parse().ok(),
            kind: self.kind.parse().ok(),
            states: self.state.parse().into_iter().collect(),
            mapping: None,
            since: day(&self.from),
            until: day(&self.to).map(|at| at.plus_minutes(24 * 60)),
        }
    }
}

/// Exactly what is filtered, as a file; what is only planned is no job yet.
pub(crate) async fn csv(principal: Signed, list: web::Query<ListQuery>) -> Answer {
    let names = all_company_names(&principal.scope).await?;
    let filter = list.filter();
    let read = move |window| {
        let (principal, filter, names) = (principal.clone(), filter.clone(), names.clone());
        async move {
            let found = run::list(&principal.scope, &filter, window).await?;
            let named = |run: Run| {
                let name = names.get(&run.company_id).cloned().unwrap_or_default();
                (run, name)
            };
            Ok(Listing {
                total: found.total,
                rows: found.rows.into_iter().map(named).collect(),
            })
        }
    };
    Ok(csv_file::sheet(&report::csv::JOBS, "", read))
}

/// Runs of the list, and how many there are.
async fn rows(
    scope: &Scope,
    filter: &Filter,
    window: Window,
    names: &HashMap<CompanyId, String>,
) -> Result<(Vec<Row>, u64), PageProblem> {
    let found = run::list(scope, filter, window).await?;
    let mut rows = Vec::new();
    for run in found.rows {
        let collectors = run::collectors(scope, &run).await?;
        use model::CollectorState::{Failed, Partial, Running, Skipped};
        // What is being read, or what did not succeed and why.
        let note = collectors
            .iter()
            .find(|c| matches!(c.state, Running | Failed | Partial | Skipped))
            .map_or(String::new(), |c| match &c.reason {
                Some(reason) => format!("{}: {reason}", collector_label(&c.name)),
                None => collector_label(&c.name),
            });
        rows.push(Row {
            company: names.get(&run.company_id).cloned().unwrap_or_default(),
            read: collectors.iter().map(|c| c.objects_read).sum(),
            note,
            run,
        });
    }
    Ok((rows, found.total))
}

/// What the plan will begin, and how much that is. It has not been asked for, so the days do not
/// choose among it.
async fn planned(
    scope: &Scope,
    filter: &Filter,
    window: Window,
    names: &HashMap<CompanyId, String>,
) -> Result<(Vec<Planned>, u64), PageProblem> {
    let found = run::upcoming(scope, filter.company, filter.kind, window).await?;
    let rows = found.rows.into_iter().map(|one| Planned {
        company_id: one.company,
        company: names.get(&one.company).cloned().unwrap_or_default(),
        kind: one.kind,
        at: one.at,
    });
    Ok((rows.collect(), found.total))
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    list: web::Query<ListQuery>,
) -> Answer {
    let scope = &principal.scope;
    let mut page = Page::new(
        &request,
        &portal,
        &principal,
        "Azure Active Directory jobs",
        "jobs",
    )
    .await?
    .under("Jobs", "/jobs");
    let list = list.into_inner();
    let filter = list.filter();
    let window = Window::page(list.page.max(1), PAGE_SIZE);
    let names = all_company_names(scope).await?;
    let (rows, scheduled, total) = if list.state == SCHEDULED {
        let (scheduled, total) = planned(scope, &filter, window, &names).await?;
        (vec![], scheduled, total)
    } else {
        let (rows, total) = rows(scope, &filter, window, &names).await?;
        (rows, vec![], total)
    };
    // Counted as the other states are: of all that the scope sees.
    let waiting = run::upcoming(scope, None, None, Window::page(1, 0)).await?;
    let counts = run::counts(scope).await?;
    let of = |state: &RunState| {
        counts
            .get(state)
            .map_or(0, |n| u64::try_from(*n).unwrap_or_default())
    };
    let labels = [
        "Queued",
        "Running",
        "Retrying",
        "Completed",
        "Partial",
        "Failed",
        "Cancelled",
    ];
    let is_live = RunState::ALL.iter().any(|s| s.is_open() && of(s) > 0);
    page.refresh = is_live;
    let shown = rows.len() + scheduled.len();
    let pager = Pager::new(list.page, shown, total, |n| {
        list.link("page", &n.to_string())
    });
    let mut companies: Vec<(CompanyId, String)> = names.into_iter().collect();
    companies.sort_by_key(|c| c.1.to_lowercase());
    html(&Index {
        page,
        rows,
        scheduled,
        counts: std::iter::once((SCHEDULED, "Scheduled", waiting.total))
            .chain(
                RunState::ALL
                    .iter()
                    .zip(labels)
                    .map(|(s, label)| (s.as_str(), label, of(s))),
            )
            .collect(),
        list,
        companies,
        pager,
        is_live,
        oldest: run::oldest_waiting(scope).await?,
    })
}
