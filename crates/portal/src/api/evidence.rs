//! Evidence: statements that syncs wrote, and how far controls are covered.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, Evidence, EvidenceId, EvidenceKind, Timestamp, company,
    evidence::{self, Filter},
};
use report::controls;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query, runs::word};
use crate::guard::Signed;

/// A statement of evidence.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Evidence)]
pub(crate) struct View {
    id: Uuid,
    company_id: Uuid,
    mapping_id: Uuid,
    #[schema(example = "user_inventory")]
    kind: &'static str,
    /// SHA-256 of `content`, hexadecimal.
    fingerprint: String,
    /// What it says, in a sentence.
    summary: String,
    /// Controls that it speaks for.
    controls: Vec<&'static str>,
    /// The run that saw it first.
    run_id: Uuid,
    created_at: String,
}

impl From<Evidence> for View {
    fn from(one: Evidence) -> Self {
        Self {
            id: one.id.0,
            company_id: one.company_id.0,
            mapping_id: one.mapping_id.0,
            kind: one.kind.as_str(),
            summary: one.summary(),
            controls: controls::controls_of(one.kind),
            run_id: one.run_id.0,
            created_at: one.created_at.rfc3339(),
            fingerprint: one.fingerprint,
        }
    }
}

/// A statement with its content and the runs that saw it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EvidenceWhole)]
pub(crate) struct Whole {
    #[serde(flatten)]
    evidence: View,
    /// What it says, in canonical JSON (RFC 8785), as text: its SHA-256 is the fingerprint.
    content: String,
    /// The newest hundred runs that saw it.
    observations: Vec<Seen>,
}

/// A run that saw a statement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Observation)]
pub(crate) struct Seen {
    run_id: Uuid,
    observed_at: String,
}

#[derive(Debug, Default, Deserialize)]
struct ListFilter {
    #[serde(default)]
    kind: String,
}

/// Evidence of a company, newest first
#[utoipa::path(get, path = "/api/v1/companies/{id}/evidence", params(("id" = Uuid, Path), Paging,
    ("kind" = Option<String>, Query, pattern = "^(|user_inventory|mfa_registration|conditional_access_policies|privileged_roles|risky_sign_in_events)$", description = "Of one kind")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let asked: ListFilter = query(&request)?;
    let scope = &principal.scope;
    company::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let filter = Filter {
        company: Some(*id),
        kind: word::<EvidenceKind>("kind", &asked.kind)?,
        ..Filter::default()
    };
    let found = evidence::list(scope, &filter, paging.window()?).await?;
    paging.page(found, View::from)
}

/// One statement with its content
#[utoipa::path(get, path = "/api/v1/evidence/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Whole), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<EvidenceId>) -> Answer {
    let scope = &principal.scope;
    let found = evidence::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let observations = evidence::observations(scope, &found, 100).await?;
    Ok(HttpResponse::Ok().json(Whole {
        content: found.content.clone(),
        observations: observations
            .into_iter()
            .map(|one| Seen {
                run_id: one.run.0,
                observed_at: one.at.rfc3339(),
            })
            .collect(),
        evidence: found.into(),
    }))
}

/// Where a control stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Coverage)]
pub(crate) struct CoverageView {
    #[schema(example = "soc2")]
    catalogue: String,
    #[schema(example = "CC6.1")]
    control: String,
    title: String,
    /// `covered`, `degraded`, `incomplete` or `no_source`.
    state: &'static str,
    /// Sources that it needs: kinds of evidence times mappings.
    needed: usize,
    /// Of these, those that are fresh.
    fresh: usize,
    /// When the first of the fresh ones becomes too old.
    until: Option<String>,
}

/// All controls of all catalogues.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Coverages)]
pub(crate) struct All {
    value: Vec<CoverageView>,
}

fn state_word(state: controls::State) -> &'static str {
    match state {
        controls::State::Covered => "covered",
        controls::State::Degraded => "degraded",
        controls::State::Incomplete => "incomplete",
        controls::State::NoSource => "no_source",
    }
}

/// How far a company's controls are covered at this moment
#[utoipa::path(get, path = "/api/v1/companies/{id}/coverage", params(("id" = Uuid, Path)), responses(
    (status = 200, body = All), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn coverage(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    let scope = &principal.scope;
    company::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let sources = evidence::sources(scope, Some(*id)).await?;
    let now = scope.now();
    let mut value = Vec::new();
    for catalogue in controls::catalogues() {
        for control in &catalogue.controls {
            let coverage = controls::coverage(control, &sources, now);
            value.push(CoverageView {
                catalogue: catalogue.id.clone(),
                control: control.id.clone(),
                title: control.title.clone(),
                state: state_word(coverage.state),
                needed: coverage.needed,
                fresh: coverage.fresh,
                until: coverage.until.map(Timestamp::rfc3339),
            });
        }
    }
    Ok(HttpResponse::Ok().json(All { value }))
}
