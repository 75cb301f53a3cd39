//! Alerts.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    Alert, AlertId, AlertKind, AlertState, CompanyId, Severity, Timestamp,
    alert::{self, Filter, Handling},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query, runs::word};
use crate::guard::Signed;

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct View {
    id: Uuid,
    number: i64,
    #[schema(example = "stale_data")]
    kind: &'static str,
    /// `info`, `warning` or `critical`.
    severity: &'static str,
    /// `open`, `acknowledged`, `snoozed`, `resolved` or `closed`.
    state: &'static str,
    /// How far its cause has come, such as the days that are left.
    stage: String,
    title: String,
    text: String,
    /// The page to look at.
    link: String,
    /// Null for what belongs to no company.
    company_id: Option<Uuid>,
    opened_at: String,
    snoozed_until: Option<String>,
    handled_by: Option<String>,
    /// When its cause was gone.
    closed_at: Option<String>,
}

impl From<Alert> for View {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id.0,
            number: alert.number,
            kind: alert.kind.as_str(),
            severity: alert.severity.as_str(),
            state: alert.state.as_str(),
            stage: alert.stage,
            title: alert.title,
            text: alert.text,
            link: alert.link,
            company_id: alert.company_id.map(|id| id.0),
            opened_at: alert.opened_at.rfc3339(),
            snoozed_until: alert.snoozed_until.map(Timestamp::rfc3339),
            handled_by: alert.handled_by,
            closed_at: alert.closed_at.map(Timestamp::rfc3339),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct ListFilter {
    #[serde(default)]
    state: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    severity: String,
    company_id: Option<CompanyId>,
}

/// Alerts, newest first
#[utoipa::path(get, path = "/api/v1/alerts", params(Paging,
    ("state" = Option<String>, Query, pattern = "^(|open|acknowledged|snoozed|resolved|closed)$", description = "In one state"),
    ("kind" = Option<String>, Query, pattern = "^(|sync_failing|stale_data|consent_lost|permission_drift|credential_expiring|credential_expired|credential_failing|application_expiring|secure_score_fell|new_global_administrator|risky_user|mfa_coverage_fell|removal_held|password_guessing)$", description = "Of one kind"),
    ("severity" = Option<String>, Query, pattern = "^(|info|warning|critical)$", description = "At least so severe"),
    ("company_id" = Option<Uuid>, Query, description = "Of one company")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let asked: ListFilter = query(&request)?;
    let filter = Filter {
        states: word::<AlertState>("state", &asked.state)?
            .into_iter()
            .collect(),
        kind: word::<AlertKind>("kind", &asked.kind)?,
        severity: word::<Severity>("severity", &asked.severity)?,
        company: asked.company_id,
    };
    let found = alert::list(&principal.scope, &filter, paging.window()?).await?;
    paging.page(found, View::from)
}

/// One alert
#[utoipa::path(get, path = "/api/v1/alerts/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<AlertId>) -> Answer {
    let found = alert::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(found)))
}

/// What to do about an alert.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AlertChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// `acknowledged`, `snoozed`, `resolved` or `open`.
    #[schema(pattern = "^(acknowledged|snoozed|resolved|open)$")]
    state: String,
    /// Until when it is snoozed, RFC 3339; at most ninety days away.
    #[serde(default)]
    #[schema(format = DateTime)]
    snoozed_until: Option<String>,
}

/// Deal with an alert
///
/// It closes by itself when its cause is gone, whatever is done about it.
#[utoipa::path(patch, path = "/api/v1/alerts/{id}", params(("id" = Uuid, Path)), request_body = Change,
    responses((status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<AlertId>,
    change: web::Json<Change>,
) -> Answer {
    let wrong = |field, text: &str| ApiProblem::from(model::Error::field(field, text));
    let handling = match change.state.as_str() {
        "acknowledged" => Handling::Acknowledge,
        "resolved" => Handling::Resolve,
        "open" => Handling::Reopen,
        "snoozed" => {
            let until = change.snoozed_until.as_deref().unwrap_or_default();
            let until = chrono::DateTime::parse_from_rfc3339(until)
                .map_err(|_| wrong("snoozed_until", "Give a moment as RFC 3339 writes it."))?;
            Handling::Snooze(until.to_utc().into())
        }
        _ => {
            return Err(wrong(
                "state",
                "Give acknowledged, snoozed, resolved or open.",
            ));
        }
    };
    let found = alert::handle(&principal.scope, *id, handling)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(found)))
}
