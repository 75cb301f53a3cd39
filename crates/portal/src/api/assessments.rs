//! Assessments.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    Assessment, AssessmentId, CompanyId, EvidenceId, Timestamp,
    assessment::{self, Draft},
};
use report::controls::{self, Catalogue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{Portal, assessment_archive, guard::Signed, view::day};

/// A company's controls over a period, with what shows them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Assessment)]
pub(crate) struct View {
    id: Uuid,
    company_id: Uuid,
    name: String,
    #[schema(example = "soc2")]
    catalogue: String,
    controls: Vec<String>,
    /// First day, `yyyy-mm-dd`.
    from: String,
    /// Last day, `yyyy-mm-dd`.
    to: String,
    /// `draft` or `approved`.
    state: &'static str,
    created_by: String,
    created_at: String,
    approved_by: Option<String>,
    approved_at: Option<String>,
    note: String,
}

impl From<Assessment> for View {
    fn from(one: Assessment) -> Self {
        Self {
            id: one.id.0,
            company_id: one.company_id.0,
            controls: one.control_ids(),
            from: one.period_start.day(),
            to: Timestamp(one.period_end.0 - 1).day(),
            state: one.state.as_str(),
            created_at: one.created_at.rfc3339(),
            approved_at: one.approved_at.map(Timestamp::rfc3339),
            name: one.name,
            catalogue: one.catalogue,
            created_by: one.created_by_name,
            approved_by: one.approved_by_name,
            note: one.note,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Filter {
    company_id: Option<CompanyId>,
}

/// Assessments, newest first
#[utoipa::path(get, path = "/api/v1/assessments", params(Paging,
    ("company_id" = Option<Uuid>, Query, description = "Of one company")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let found = assessment::list(&principal.scope, filter.company_id, paging.window()?).await?;
    paging.page(found, View::from)
}

/// An assessment to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewAssessment)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    company_id: Uuid,
    #[schema(max_length = 120)]
    name: String,
    #[schema(example = "soc2")]
    catalogue: String,
    /// Controls of the catalogue; all of them where it is left out.
    #[serde(default)]
    controls: Option<Vec<String>>,
    /// First day, `yyyy-mm-dd`.
    #[schema(format = Date)]
    from: String,
    /// Last day, `yyyy-mm-dd`.
    #[schema(format = Date)]
    to: String,
}

/// Begin an assessment
///
/// Whoever owns the token begins it, and so cannot approve it.
#[utoipa::path(post, path = "/api/v1/assessments", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(principal: Signed, new: web::Json<New>) -> Answer {
    let new = new.into_inner();
    let catalogue = controls::catalogue(&new.catalogue).ok_or_else(|| {
        model::Error::field("catalogue", "There is no such catalogue of controls.")
    })?;
    let all = || catalogue.controls.iter().map(|c| c.id.clone()).collect();
    let controls: Vec<String> = new.controls.unwrap_or_else(all);
    if controls.iter().any(|id| catalogue.control(id).is_none()) {
        return Err(model::Error::field("controls", "The catalogue has no such control.").into());
    }
    let draft = Draft {
        company: CompanyId(new.company_id),
        name: new.name,
        catalogue: catalogue.id.clone(),
        controls,
        period_start: day(&new.from),
        period_end: day(&new.to).map(|at| at.plus_minutes(24 * 60)),
    };
    let made = assessment::create(&principal.scope, &draft)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/assessments/{}", made.id)))
        .json(View::from(made)))
}

/// A statement that is attached to a control.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttachedEvidence)]
pub(crate) struct AttachedView {
    control: String,
    evidence_id: Uuid,
    kind: &'static str,
    fingerprint: String,
    attached_by: String,
    attached_at: String,
}

/// An assessment with what is attached to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AssessmentWhole)]
pub(crate) struct Whole {
    #[serde(flatten)]
    assessment: View,
    evidence: Vec<AttachedView>,
}

/// One assessment with what is attached to it
#[utoipa::path(get, path = "/api/v1/assessments/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Whole), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<AssessmentId>) -> Answer {
    whole(&principal, *id).await
}

async fn whole(principal: &Signed, id: AssessmentId) -> Answer {
    let scope = &principal.scope;
    let found = assessment::get(scope, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let attached = assessment::attached(scope, &found).await?;
    Ok(HttpResponse::Ok().json(Whole {
        assessment: found.into(),
        evidence: attached
            .into_iter()
            .map(|one| AttachedView {
                control: one.control,
                evidence_id: one.evidence.id.0,
                kind: one.evidence.kind.as_str(),
                fingerprint: one.evidence.fingerprint,
                attached_by: one.by,
                attached_at: one.at.rfc3339(),
            })
            .collect(),
    }))
}

/// What to attach: one statement to one control, or, with both left out, what syncs saw in the period.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = NewAttachment)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attach {
    #[serde(default)]
    control: Option<String>,
    #[serde(default)]
    evidence_id: Option<Uuid>,
}

/// Attach evidence
#[utoipa::path(post, path = "/api/v1/assessments/{id}/evidence", params(("id" = Uuid, Path)),
    request_body = Attach, responses((status = 200, body = Whole), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn attach(
    principal: Signed,
    id: web::Path<AssessmentId>,
    what: web::Json<Attach>,
) -> Answer {
    let scope = &principal.scope;
    match (&what.control, what.evidence_id) {
        (Some(control), Some(evidence)) => {
            assessment::attach(scope, *id, control, EvidenceId(evidence))
                .await?
                .ok_or(ApiProblem::NotFound)?;
        }
        (None, None) => {
            let found = assessment::get(scope, *id)
                .await?
                .ok_or(ApiProblem::NotFound)?;
            let kinds = controls::catalogue(&found.catalogue)
                .map(Catalogue::kinds)
                .unwrap_or_default();
            assessment::attach_period(scope, *id, &kinds)
                .await?
                .ok_or(ApiProblem::NotFound)?;
        }
        (None, Some(_)) => {
            return Err(model::Error::field("control", "Give the control that it shows.").into());
        }
        (Some(_), None) => {
            return Err(model::Error::field("evidence_id", "Give the statement to attach.").into());
        }
    }
    whole(&principal, *id).await
}

/// Take a statement off an assessment that nobody approved
#[utoipa::path(delete, path = "/api/v1/assessments/{id}/evidence/{control}/{evidence_id}",
    params(("id" = Uuid, Path), ("control" = String, Path), ("evidence_id" = Uuid, Path)),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn detach(
    principal: Signed,
    ids: web::Path<(AssessmentId, String, EvidenceId)>,
) -> Answer {
    let (id, control, statement) = ids.into_inner();
    assessment::detach(&principal.scope, id, &control, statement)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}

/// An approval.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Approval)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

/// Approve an assessment
///
/// Whoever began it or attached to it cannot. From then on the database refuses every change of it.
#[utoipa::path(post, path = "/api/v1/assessments/{id}/approval", params(("id" = Uuid, Path)),
    request_body = Approval, responses((status = 200, body = Whole), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn approve(
    principal: Signed,
    id: web::Path<AssessmentId>,
    approval: web::Json<Approval>,
) -> Answer {
    assessment::approve(&principal.scope, *id, &approval.note)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    whole(&principal, *id).await
}

/// Delete an assessment that nobody approved; the evidence stays
#[utoipa::path(delete, path = "/api/v1/assessments/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<AssessmentId>) -> Answer {
    assessment::delete(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}

/// The signed archive of an assessment (ZIP)
#[utoipa::path(get, path = "/api/v1/assessments/{id}/archive", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Vec<u8>, content_type = "application/zip"), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn archive(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<AssessmentId>,
) -> Answer {
    let (_, bytes) = assessment_archive::make(&portal, &principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("application/zip")
        .body(bytes))
}
