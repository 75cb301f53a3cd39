//! Runs.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, MappingId, Run, RunCause, RunCollector, RunId, RunKind, RunState, Timestamp, run,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(crate) struct View {
    id: Uuid,
    /// Counts the partner's runs from 1.
    number: i64,
    mapping_id: Uuid,
    company_id: Uuid,
    /// `directory` or `secure_score`.
    kind: String,
    /// `schedule`, `manual`, `mapping` or `retry`.
    cause: String,
    /// `queued`, `running`, `retrying`, `completed`, `partial`, `failed` or `cancelled`.
    state: String,
    /// Attempts begun; a run is given up after 5.
    attempt: i64,
    /// When the next attempt is due, while it is retrying.
    retry_at: Option<String>,
    /// Microsoft's code.
    error_code: Option<String>,
    error: Option<String>,
    /// What to do about it.
    remedy: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// What each collector did; only for a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    collectors: Option<Vec<Collector>>,
}

/// What a collector did. Counts are of objects, `waited_ms` of time spent throttled.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Collector {
    name: String,
    /// `waiting`, `running`, `succeeded`, `partial`, `skipped`, `failed` or `cancelled`.
    state: String,
    pages: i64,
    read: i64,
    new: i64,
    changed: i64,
    removed: i64,
    requests: i64,
    throttled: i64,
    waited_ms: i64,
    /// Microsoft's code, where it did not succeed.
    code: Option<String>,
    reason: Option<String>,
    remedy: Option<String>,
}

impl From<RunCollector> for Collector {
    fn from(c: RunCollector) -> Self {
        Self {
            name: c.name,
            state: c.state.to_string(),
            pages: c.pages,
            read: c.objects_read,
            new: c.objects_new,
            changed: c.objects_changed,
            removed: c.objects_removed,
            requests: c.requests,
            throttled: c.throttled,
            waited_ms: c.waited_ms,
            code: c.code,
            reason: c.reason,
            remedy: c.remedy,
        }
    }
}

impl View {
    fn new(r: Run, collectors: Option<Vec<RunCollector>>) -> Self {
        let retry_at = (r.state == RunState::Retrying).then(|| r.not_before.rfc3339());
        Self {
            id: r.id.0,
            number: r.number,
            mapping_id: r.mapping_id.0,
            company_id: r.company_id.0,
            kind: r.kind.to_string(),
            cause: r.cause.to_string(),
            state: r.state.to_string(),
            attempt: r.attempt,
            retry_at,
            error_code: r.error_code,
            error: r.error,
            remedy: r.remedy,
            created_at: r.created_at.rfc3339(),
            started_at: r.started_at.map(Timestamp::rfc3339),
            finished_at: r.finished_at.map(Timestamp::rfc3339),
            collectors: collectors.map(|all| all.into_iter().map(Into::into).collect()),
        }
    }
}

/// Runs to start: of a company's mappings or of one mapping.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewRun)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[serde(default)]
    company_id: Option<Uuid>,
    #[serde(default)]
    mapping_id: Option<Uuid>,
    /// Several companies; those that are not mapped have no run in the answer.
    #[serde(default)]
    company_ids: Option<Vec<Uuid>>,
    /// `directory`, `secure_score` or `sign_in_activity`; the first two where left out.
    #[serde(default)]
    kind: Option<String>,
    /// Read everything anew, whatever Microsoft calls changed.
    reconcile: Option<bool>,
}

/// Runs that were started, or that were open already.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Started {
    value: Vec<View>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    company_id: Option<CompanyId>,
    mapping_id: Option<MappingId>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    state: String,
    since: Option<String>,
    until: Option<String>,
}

pub(super) fn word<T: std::str::FromStr<Err = String>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, ApiProblem> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|why| ApiProblem::BadRequest(format!("{field}: {why}.")))
}

fn moment(field: &str, text: Option<&String>) -> Result<Option<model::Timestamp>, ApiProblem> {
    let Some(text) = text else {
        return Ok(None);
    };
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|at| Some(at.to_utc().into()))
        .map_err(|_| {
            ApiProblem::BadRequest(format!(
                "{field}: give a moment such as 2026-11-20T10:00:00Z."
            ))
        })
}

/// Runs, newest first
#[utoipa::path(get, path = "/api/v1/runs", params(Paging,
    ("company_id" = Option<Uuid>, Query, description = "Of one company"),
    ("mapping_id" = Option<Uuid>, Query, description = "Of one mapping"),
    ("kind" = Option<String>, Query, pattern = "^(|directory|secure_score|sign_in_activity)$", description = "Of one kind"),
    ("state" = Option<String>, Query, pattern = "^(|queued|running|retrying|completed|partial|failed|cancelled)$", description = "In one state"),
    ("since" = Option<String>, Query, format = DateTime, description = "Asked for at this RFC 3339 moment or later"),
    ("until" = Option<String>, Query, format = DateTime, description = "Asked for before this moment")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let filter = run::Filter {
        company: filter.company_id,
        mapping: filter.mapping_id,
        kind: word::<RunKind>("kind", &filter.kind)?,
        states: word::<RunState>("state", &filter.state)?
            .into_iter()
            .collect(),
        since: moment("since", filter.since.as_ref())?,
        until: moment("until", filter.until.as_ref())?,
    };
    let found = run::list(&principal.scope, &filter, paging.window()?).await?;
    paging.page(found, |r| View::new(r, None))
}

/// Companies of one request.
const MOST: usize = 500;

/// Sync now
///
/// A run that is open already is answered instead of a second one.
#[utoipa::path(post, path = "/api/v1/runs", request_body = New, responses(
    (status = 202, body = Started), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(principal: Signed, new: web::Json<New>) -> Answer {
    let of: Vec<run::Of> = match (new.company_id, new.mapping_id, &new.company_ids) {
        (Some(id), None, None) => vec![run::Of::Company(CompanyId(id))],
        (None, Some(id), None) => vec![run::Of::Mapping(MappingId(id))],
        (None, None, Some(ids)) if (1..=MOST).contains(&ids.len()) => ids
            .iter()
            .map(|id| run::Of::Company(CompanyId(*id)))
            .collect(),
        _ => {
            let message = "Give company_id, mapping_id, or up to 500 company_ids.";
            return Err(model::Error::field("company_id", message).into());
        }
    };
    let kinds = match new.kind.as_deref().unwrap_or_default() {
        "" => RunKind::SYNC_NOW.to_vec(),
        text => vec![
            text.parse()
                .map_err(|why: String| model::Error::field("kind", why))?,
        ],
    };
    let cause = match new.reconcile {
        Some(true) => RunCause::Reconcile,
        _ => RunCause::Manual,
    };
    let mut runs = Vec::new();
    for of in of {
        let asked = run::request(&principal.scope, of, &kinds, cause).await?;
        runs.extend(asked.ok_or(ApiProblem::NotFound)?);
    }
    if runs.is_empty() {
        return Err(ApiProblem::Conflict(
            "This company has no mapping. Map it to a tenant first.".into(),
        ));
    }
    let value = runs.into_iter().map(|r| View::new(r, None)).collect();
    Ok(HttpResponse::Accepted().json(Started { value }))
}

/// One run with what each collector did
#[utoipa::path(get, path = "/api/v1/runs/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<RunId>) -> Answer {
    let found = run::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let collectors = run::collectors(&principal.scope, &found).await?;
    Ok(HttpResponse::Ok().json(View::new(found, Some(collectors))))
}

/// Cancel a run
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn cancel(principal: Signed, id: web::Path<RunId>) -> Answer {
    let run = run::cancel(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::new(run, None)))
}

/// What to try again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Retry)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    /// Only the collectors that did not succeed.
    #[serde(default)]
    only_failed: bool,
}

/// Try a run that ended again
#[utoipa::path(post, path = "/api/v1/runs/{id}/retry", params(("id" = Uuid, Path)), request_body = Again, responses(
    (status = 202, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn retry(
    principal: Signed,
    id: web::Path<RunId>,
    again: Option<web::Json<Again>>,
) -> Answer {
    let only_failed = again.is_some_and(|again| again.only_failed);
    let run = run::retry(&principal.scope, *id, only_failed)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Accepted().json(View::new(run, None)))
}

/// A line of a run's timeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RunEvent)]
pub(crate) struct EventView {
    number: i64,
    at: String,
    /// `info`, `warn` or `error`.
    level: String,
    message: String,
}

/// What happened in a run, newest first
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", params(("id" = Uuid, Path), Paging), responses(
    (status = 200, body = List<EventView>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn events(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<RunId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let run = run::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let all = model::run_event::newest(&principal.scope, &run, 5000).await?;
    paging.cut(all, |event| EventView {
        number: event.seq,
        at: event.at.rfc3339(),
        level: event.level,
        message: event.message,
    })
}
