//! When a company's monthly report is sent, and to whom.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    ChannelId, CompanyId, ReportSchedule, ReportScheduleId, company,
    report_schedule::{self, Draft},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::guard::Signed;

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportSchedule)]
pub(crate) struct View {
    id: Uuid,
    channel_id: Uuid,
    recipients: Vec<String>,
    /// Day of the month on which the month before is sent.
    day: i64,
    created_at: String,
}

impl From<ReportSchedule> for View {
    fn from(row: ReportSchedule) -> Self {
        Self {
            id: row.id.0,
            channel_id: row.channel_id.0,
            recipients: serde_json::from_str(&row.recipients).unwrap_or_default(),
            day: row.day,
            created_at: row.created_at.rfc3339(),
        }
    }
}

/// Schedules of a company's report
#[utoipa::path(get, path = "/api/v1/companies/{id}/report-schedules",
    params(("id" = Uuid, Path), Paging), responses((status = 200, body = List<View>),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let scope = &principal.scope;
    company::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    paging.cut(report_schedule::list(scope, *id).await?, View::from)
}

/// A schedule to add.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewReportSchedule)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// A channel of mail.
    channel_id: Uuid,
    /// One to twenty addresses.
    recipients: Vec<String>,
    /// Day of the month, 1 to 28.
    #[serde(deserialize_with = "super::whole_number")]
    #[schema(minimum = 1, maximum = 28, value_type = i64)]
    day: Option<i64>,
}

/// Have a company's report sent once a month
#[utoipa::path(post, path = "/api/v1/companies/{id}/report-schedules", params(("id" = Uuid, Path)),
    request_body = New, responses((status = 201, body = View), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(
    principal: Signed,
    id: web::Path<CompanyId>,
    new: web::Json<New>,
) -> Answer {
    company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let new = new.into_inner();
    let draft = Draft {
        channel: Some(ChannelId(new.channel_id)),
        recipients: new.recipients,
        day: new.day.unwrap_or_default(),
    };
    let made = report_schedule::create(&principal.scope, *id, &draft).await?;
    Ok(HttpResponse::Created().json(View::from(made.ok_or(ApiProblem::NotFound)?)))
}

/// Stop sending a company's report
#[utoipa::path(delete, path = "/api/v1/companies/{id}/report-schedules/{schedule_id}",
    params(("id" = Uuid, Path), ("schedule_id" = Uuid, Path)), responses((status = 204),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn delete(
    principal: Signed,
    ids: web::Path<(CompanyId, ReportScheduleId)>,
) -> Answer {
    let (company, id) = ids.into_inner();
    report_schedule::remove(&principal.scope, company, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}
