//! Monthly reports of a company: as a page, as PDF, and by mail on a day of each month.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use model::{
    ChannelKind, CompanyId, FieldError, ReportSchedule, ReportScheduleId, Role, Scope,
    brand::{self, Brand},
    channel::{self, Channel},
    monthly::{self, Monthly},
    report_schedule::{self, Draft, month_before, month_of},
};
use report::monthly::{Tile, month_name, tiles};
use serde::Deserialize;

use super::{companies::Head, error_of};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Page, filters, html, html_status, see_other},
};

/// Months that the list offers.
const MONTHS: usize = 12;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    recipients: String,
    #[serde(default)]
    day: String,
}

#[derive(Template)]
#[template(path = "reports/index.html")]
struct Index {
    page: Page,
    head: Head,
    months: Vec<(String, String)>,
    schedules: Vec<(ReportSchedule, String)>,
    channels: Vec<Channel>,
    form: Form,
    errors: Vec<FieldError>,
}

impl Index {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

/// Channels of mail; for members who may not see the partner's channels, none.
async fn channels(scope: &Scope) -> Result<Vec<Channel>, PageProblem> {
    if !scope.sees_all_companies() || scope.role() < Role::Auditor {
        return Ok(vec![]);
    }
    let all = channel::list(scope).await?.into_iter();
    Ok(all
        .filter(|c| c.settings.kind() != ChannelKind::Webhook)
        .collect())
}

async fn index_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    id: CompanyId,
    form: Form,
    errors: Vec<FieldError>,
) -> Answer {
    let scope = &principal.scope;
    let head = Head::load(principal, id, "reports").await?;
    let mut months = vec![month_of(scope.now())];
    let began = month_of(head.company.created_at);
    while months.len() < MONTHS && months.last().is_some_and(|month| *month > began) {
        let before = months
            .last()
            .map(|month| month_before(month))
            .unwrap_or_default();
        months.push(before);
    }
    let channels = channels(scope).await?;
    let name = |schedule: &ReportSchedule| {
        let found = channels.iter().find(|c| c.id == schedule.channel_id);
        found.map_or_else(String::new, |c| c.name.clone())
    };
    let schedules = report_schedule::list(scope, id).await?;
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let index = Index {
        page: head
            .frame(request, portal, principal, "Reports".into())
            .await?,
        months: months
            .into_iter()
            .map(|m| (m.clone(), month_name(&m)))
            .collect(),
        schedules: schedules
            .into_iter()
            .map(|s| (s.clone(), name(&s)))
            .collect(),
        channels,
        head,
        form,
        errors,
    };
    html_status(status, &index)
}

pub(crate) async fn index(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let form = Form {
        day: "2".into(),
        ..Form::default()
    };
    index_page(&request, &portal, &principal, *id, form, vec![]).await
}

pub(crate) async fn schedule(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CompanyId>,
    form: web::Form<Form>,
) -> Answer {
    let form = form.into_inner();
    let scope = &principal.scope;
    model::company::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let recipients = form.recipients.split([',', ';', '\n']).map(str::trim);
    let draft = Draft {
        channel: form.channel.parse().ok(),
        recipients: recipients
            .filter(|r| !r.is_empty())
            .map(str::to_owned)
            .collect(),
        day: form.day.trim().parse().unwrap_or(0),
    };
    match report_schedule::create(scope, *id, &draft).await {
        Ok(Some(_)) => Ok(see_other(&format!("/companies/{id}/reports"))),
        Ok(None) => Err(PageProblem::NotFound),
        Err(model::Error::Invalid(errors)) => {
            index_page(&request, &portal, &principal, *id, form, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn unschedule(
    principal: Signed,
    ids: web::Path<(CompanyId, ReportScheduleId)>,
) -> Answer {
    let (company, id) = ids.into_inner();
    report_schedule::remove(&principal.scope, company, id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other(&format!("/companies/{company}/reports")))
}

#[derive(Template)]
#[template(path = "reports/show.html")]
struct Show {
    page: Page,
    head: Head,
    report: Monthly,
    tiles: Vec<Tile>,
    name: String,
    brand: Brand,
    charts: Vec<String>,
}

impl Show {
    /// How many more there are than the names that are listed.
    fn more(&self, found: &(i64, Vec<String>)) -> i64 {
        found.0 - i64::try_from(found.1.len()).unwrap_or(0)
    }
}

/// Percent of each day as a path of 600 × 120.
fn chart(days: &[(String, f64)]) -> String {
    #[allow(clippy::cast_precision_loss)] // some ninety days
    let step = 600.0 / (days.len().max(2) - 1) as f64;
    let mut path = String::new();
    for (i, (_, percent)) in days.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)] // the same
        let x = i as f64 * step;
        let pen = if i == 0 { 'M' } else { 'L' };
        path.push_str(&format!(
            "{pen}{x:.1} {:.1}",
            116.0 - percent / 100.0 * 112.0
        ));
    }
    path
}

async fn gathered(scope: &Scope, company: CompanyId, month: &str) -> Result<Monthly, PageProblem> {
    monthly::gather(scope, company, month)
        .await?
        .ok_or(PageProblem::NotFound)
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    ids: web::Path<(CompanyId, String)>,
) -> Answer {
    let (company, month) = ids.into_inner();
    let scope = &principal.scope;
    let head = Head::load(&principal, company, "reports").await?;
    let report = gathered(scope, company, &month).await?;
    let name = month_name(&month);
    let page = head
        .frame(&request, &portal, &principal, name.clone())
        .await?
        .under("Reports", format!("/companies/{company}/reports"));
    html(&Show {
        page,
        tiles: tiles(&report),
        charts: report
            .scores
            .iter()
            .map(|score| chart(&score.days))
            .collect(),
        brand: brand::get(scope).await?,
        name,
        report,
        head,
    })
}

/// The report as PDF; pages and API hand out the same.
pub(crate) async fn make_pdf(
    scope: &Scope,
    company: CompanyId,
    month: &str,
) -> model::Result<Option<Vec<u8>>> {
    let Some(found) = monthly::gather(scope, company, month).await? else {
        return Ok(None);
    };
    let partner = model::partner::current(scope).await?.name;
    let brand = brand::get(scope).await?;
    let stored = |e: String| model::Error::Stored(e);
    let made =
        tokio::task::spawn_blocking(move || report::monthly::pdf(&found, &partner, &brand)).await;
    let bytes = made
        .map_err(|e| stored(e.to_string()))?
        .map_err(|e| stored(e.to_string()))?;
    Ok(Some(bytes))
}

pub(crate) async fn pdf(principal: Signed, ids: web::Path<(CompanyId, String)>) -> Answer {
    let (company, month) = ids.into_inner();
    let bytes = make_pdf(&principal.scope, company, &month)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let name = format!("attachment; filename=\"security-report-{month}.pdf\"");
    Ok(HttpResponse::Ok()
        .content_type("application/pdf")
        .insert_header(("content-disposition", name))
        .body(bytes))
}
