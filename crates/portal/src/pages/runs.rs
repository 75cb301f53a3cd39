//! Jobs: one run with live progress, and what people do with runs.

use actix_web::{HttpRequest, web};
use askama::Template;
use model::{
    Company, CompanyId, Run, RunCause, RunCollector, RunEvent, RunId, RunKind, Window, company,
    run, run::Filter, run_event,
};
use serde::Deserialize;

use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, duration_words, filters, html, see_other},
};

/// What the live part of a run's page shows.
pub(super) struct Live {
    pub(super) run: Run,
    pub(super) collectors: Vec<RunCollector>,
    pub(super) events: Vec<RunEvent>,
    pub(super) now: model::Timestamp,
}

impl Live {
    pub(super) async fn load(principal: &Signed, id: RunId) -> Result<Self, PageProblem> {
        let scope = &principal.scope;
        let run = run::get(scope, id).await?.ok_or(PageProblem::NotFound)?;
        Ok(Self {
            collectors: run::collectors(scope, &run).await?,
            events: run_event::newest(scope, &run, 60).await?,
            now: scope.now(),
            run,
        })
    }

    /// Collectors that ended, of all.
    fn ended(&self) -> usize {
        self.collectors
            .iter()
            .filter(|c| c.finished_at.is_some())
            .count()
    }

    /// Whole percent of collectors that ended; a running one counts by what it read of what is
    /// expected.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a share
    fn percent(&self) -> i64 {
        if !self.run.state.is_open() && self.run.finished_at.is_some() {
            return 100;
        }
        let part: f64 = self
            .collectors
            .iter()
            .map(|c| match (c.finished_at, c.expected) {
                (Some(_), _) => 1.0,
                (None, Some(all)) if all > 0 => (c.objects_read as f64 / all as f64).min(0.95),
                _ => 0.0,
            })
            .sum();
        (100.0 * part / self.collectors.len().max(1) as f64) as i64
    }

    fn took(&self) -> String {
        match self.run.started_at {
            None => String::new(),
            Some(start) => {
                let end = self.run.finished_at.unwrap_or(self.now);
                duration_words(end.0 - start.0)
            }
        }
    }

    fn collector_took(&self, c: &RunCollector) -> String {
        match c.started_at {
            None => String::new(),
            Some(start) => duration_words(c.finished_at.unwrap_or(self.now).0 - start.0),
        }
    }

    fn waited(&self, c: &RunCollector) -> String {
        duration_words(c.waited_ms)
    }

    /// Changes whenever the fragment does.
    pub(super) fn version(&self) -> String {
        let parts = format!(
            "{}/{}/{}/{:?}",
            self.run.state,
            self.run.attempt,
            self.events.first().map_or(0, |e| e.seq),
            self.collectors
                .iter()
                .map(|c| (c.pages, c.objects_read, c.requests, c.finished_at.is_some()))
                .collect::<Vec<_>>()
        );
        keys::fingerprint(&parts)[..16].to_owned()
    }
}

/// The live part alone, for the stream.
#[derive(Template)]
#[template(path = "runs/live.html")]
pub(super) struct LivePart {
    pub(super) live: Live,
}

#[derive(Template)]
#[template(path = "runs/show.html")]
struct Show {
    page: Page,
    live: Live,
    company: Option<Company>,
    siblings: Vec<Run>,
    bars: Vec<Bar>,
}

/// One earlier run in the sparkline: how long it took, of the longest, and how it ended.
struct Bar {
    x: usize,
    height: i64,
    state: &'static str,
    title: String,
}

/// Height of the sparkline.
const SPARK: i64 = 32;

/// Earlier runs of the same kind, oldest first.
fn bars(runs: &[Run], kind: RunKind) -> Vec<Bar> {
    let took = |run: &Run| Some(run.finished_at?.0 - run.started_at?.0);
    let mut ended: Vec<(&Run, i64)> = runs
        .iter()
        .filter(|run| run.kind == kind)
        .filter_map(|run| Some((run, took(run)?)))
        .collect();
    ended.reverse();
    let longest = ended.iter().map(|(_, ms)| *ms).max().unwrap_or(1).max(1);
    ended
        .into_iter()
        .enumerate()
        .map(|(i, (run, ms))| Bar {
            x: i * 8,
            height: (SPARK * ms / longest).max(2),
            state: run.state.as_str(),
            title: format!("#{}: {}, {}", run.number, run.state, duration_words(ms)),
        })
        .collect()
}

impl Show {
    fn kind_label(&self) -> &'static str {
        kind_label(&self.live.run.kind)
    }

    fn cause(&self) -> String {
        cause_words(&self.live.run)
    }

    fn has_failed_collectors(&self) -> bool {
        use model::CollectorState::{Failed, Partial, Skipped};
        self.live
            .collectors
            .iter()
            .any(|c| matches!(c.state, Failed | Partial | Skipped))
    }
}

pub(super) fn kind_label(kind: &RunKind) -> &'static str {
    match kind {
        RunKind::Directory => "Azure Active Directory",
        RunKind::SecureScore => "Microsoft Secure Score",
        RunKind::SignInActivity => "Sign-in activity",
    }
}

fn cause_words(run: &Run) -> String {
    match run.cause {
        RunCause::Schedule => "by schedule".into(),
        RunCause::Manual => format!("by {} with Sync now", run.requested_by),
        RunCause::Mapping => format!("by {} saving the mapping", run.requested_by),
        RunCause::Retry => format!("by {} as another try", run.requested_by),
        RunCause::Reconcile => format!("by {}, reading everything anew", run.requested_by),
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<RunId>,
) -> Answer {
    let live = Live::load(&principal, *id).await?;
    let scope = &principal.scope;
    let company = company::get(scope, live.run.company_id).await?;
    let title = format!(
        "{}, {}",
        kind_label(&live.run.kind),
        company.as_ref().map_or("", |c| &c.name)
    );
    let mut page = Page::new(&request, &portal, &principal, title, "jobs")
        .await?
        .under("Jobs", "/jobs");
    page.refresh = live.run.state.is_open();
    let filter = Filter {
        mapping: Some(live.run.mapping_id),
        ..Filter::default()
    };
    let mut siblings = run::list(scope, &filter, Window::page(1, 40)).await?.rows;
    let bars = bars(&siblings, live.run.kind);
    siblings.retain(|r| r.id != *id);
    siblings.truncate(8);
    html(&Show {
        page,
        live,
        company,
        siblings,
        bars,
    })
}

/// Sync now, of a whole company.
pub(crate) async fn create(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    let runs = run::request(
        &principal.scope,
        run::Of::Company(*id),
        RunKind::SYNC_NOW,
        RunCause::Manual,
    )
    .await?
    .ok_or(PageProblem::NotFound)?;
    match runs.first() {
        Some(run) => Ok(see_other(&format!("/jobs/{}", run.id))),
        None => Err(PageProblem::Conflict(
            "This company has no mapping, so there is nothing to sync. Map it to an Azure AD company first."
                .into(),
        )),
    }
}

pub(crate) async fn cancel(principal: Signed, id: web::Path<RunId>) -> Answer {
    run::cancel(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/jobs/{id}")))
}

#[derive(Debug, Deserialize)]
pub(crate) struct RetryForm {
    #[serde(default)]
    only_failed: Option<String>,
}

pub(crate) async fn retry(
    principal: Signed,
    id: web::Path<RunId>,
    form: web::Form<RetryForm>,
) -> Answer {
    let again = run::retry(&principal.scope, *id, form.only_failed.is_some())
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/jobs/{}", again.id)))
}
