//! Secure scores of a company.

use actix_web::{HttpRequest, web};
use model::{
    CompanyId, ControlProfile, MappingId, SecureScore, company, mapping,
    secure_score::{self, Average, Control},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// Secure Score of one day, in points.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecureScore)]
pub(crate) struct View {
    /// Microsoft's id: tenant and day.
    id: String,
    mapping_id: Uuid,
    /// `yyyy-mm-dd`.
    day: String,
    current_score: f64,
    max_score: f64,
    /// Of the maximum; null where that is zero.
    percent: Option<f64>,
    averages: Vec<AverageView>,
}

/// An average that Microsoft gives beside it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecureScoreAverage)]
pub(crate) struct AverageView {
    /// `AllTenants`, `TotalSeats` or `IndustryTypes`.
    basis: String,
    average_score: f64,
}

impl From<Average> for AverageView {
    fn from(a: Average) -> Self {
        Self {
            basis: a.basis,
            average_score: a.average_score,
        }
    }
}

impl From<SecureScore> for View {
    fn from(s: SecureScore) -> Self {
        Self {
            percent: secure_score::percent(&s),
            averages: secure_score::averages(&s)
                .into_iter()
                .map(Into::into)
                .collect(),
            id: s.id,
            mapping_id: s.mapping_id.0,
            day: s.day,
            current_score: s.current_score,
            max_score: s.max_score,
        }
    }
}

/// Secure scores of a company, newest day first
#[utoipa::path(get, path = "/api/v1/companies/{id}/secure-scores", params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<View>), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
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
    let mut all = Vec::new();
    for row in mapping::of_company(scope, *id, true).await? {
        all.extend(secure_score::days(scope, row.mapping.id).await?);
    }
    all.sort_by(|a, b| {
        b.day
            .cmp(&a.day)
            .then_with(|| a.mapping_id.cmp(&b.mapping_id))
    });
    paging.cut(all, View::from)
}

/// A control of Secure Score, on the newest day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SecureScoreControl)]
pub(crate) struct ControlView {
    /// Microsoft's name of the control.
    id: String,
    mapping_id: Uuid,
    title: String,
    category: String,
    /// `To address`, `Partial`, `Done`, `Accepted` or `Unknown`.
    status: &'static str,
    score: Option<f64>,
    max_score: Option<f64>,
    rank: Option<i64>,
    service: Option<String>,
    tier: Option<String>,
    user_impact: Option<String>,
    implementation_cost: Option<String>,
    /// Microsoft's text; it has HTML.
    remediation: Option<String>,
    action_url: Option<String>,
}

impl ControlView {
    fn new(mapping: MappingId, control: Control) -> Self {
        let (title, category) = (control.title().to_owned(), control.category().to_owned());
        let (score, max_score) = (control.points(), control.possible());
        let status = control.status().label();
        let profile = control.profile;
        let of = |read: fn(&ControlProfile) -> &Option<String>| {
            profile.as_ref().and_then(|profile| read(profile).clone())
        };
        Self {
            id: control.id,
            mapping_id: mapping.0,
            title,
            category,
            status,
            score,
            max_score,
            rank: profile.as_ref().and_then(|profile| profile.rank),
            service: of(|p| &p.service),
            tier: of(|p| &p.tier),
            user_impact: of(|p| &p.user_impact),
            implementation_cost: of(|p| &p.implementation_cost),
            remediation: of(|p| &p.remediation),
            action_url: of(|p| &p.action_url),
        }
    }
}

/// Controls of Secure Score on the newest day, those with most points to win first
#[utoipa::path(get, path = "/api/v1/companies/{id}/secure-score-controls",
    params(("id" = Uuid, Path), Paging), responses((status = 200, body = List<ControlView>),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn controls(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let scope = &principal.scope;
    company::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let mut all = Vec::new();
    for row in mapping::of_company(scope, *id, false).await? {
        let id = row.mapping.id;
        let own = secure_score::controls(scope, id).await?;
        all.extend(own.into_iter().map(|control| (id, control)));
    }
    paging.cut(all, |(mapping, control)| ControlView::new(mapping, control))
}
