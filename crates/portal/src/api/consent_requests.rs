//! Consent requests: the answer holds Microsoft's URL for the administrator.

use actix_web::{HttpResponse, web};
use model::{
    ConsentRequest, ConsentRequestId, ConsentStep, CredentialId, DirectoryId, Timestamp,
    consent_request, credential,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Answer;
use crate::{
    Portal,
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A consent request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsentRequest)]
pub(crate) struct View {
    id: Uuid,
    credential_id: Uuid,
    /// The tenant that was asked for, if one was.
    directory_id: Option<Uuid>,
    /// `begun`, `proving`, `spreading` or `finished`.
    step: String,
    /// `granted`, `missing_permissions`, `declined`, `expired`, …; null while it is open.
    outcome: Option<String>,
    /// Microsoft's code.
    outcome_code: Option<String>,
    /// For example the permissions that are missing.
    outcome_detail: Option<String>,
    /// Permissions that were granted beside those that were asked for.
    unexpected: Option<String>,
    /// Who consented, as their token names them.
    administrator: Option<String>,
    /// Our id of the tenant that was connected.
    tenant_id: Option<Uuid>,
    created_at: String,
    expires_at: String,
    /// Where the administrator goes; only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl View {
    fn new(r: ConsentRequest, url: Option<String>) -> Self {
        Self {
            id: r.id.0,
            credential_id: r.credential_id.0,
            directory_id: r.pinned_directory_id.map(|d| d.0),
            step: r.step.to_string(),
            outcome: r.outcome,
            outcome_code: r.outcome_code,
            outcome_detail: r.outcome_detail,
            unexpected: r.unexpected,
            administrator: r.administrator,
            tenant_id: r.tenant_id.map(|t| t.0),
            created_at: Timestamp::rfc3339(r.created_at),
            expires_at: Timestamp::rfc3339(r.expires_at),
            url,
        }
    }
}

/// A new consent request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewConsentRequest)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    credential_id: Uuid,
    /// The tenant to connect; without it, whichever the administrator belongs to.
    #[serde(default)]
    directory_id: Option<String>,
}

/// Ask for consent
///
/// Answers Microsoft's URL. Following it to the end with one browser, which keeps cookies, completes
/// the request: no session of the portal is needed.
#[utoipa::path(post, path = "/api/v1/consent-requests", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let found = credential::get(&principal.scope, CredentialId(new.credential_id))
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let pinned = new
        .directory_id
        .as_deref()
        .map(|text| {
            credential::parse_guid(text)
                .map(DirectoryId)
                .map_err(|why| model::Error::field("directory_id", format!("A tenant ID {why}")))
        })
        .transpose()?;
    let (request, url) = portal
        .consent
        .begin(&principal.scope, &found, pinned, None)
        .await?;
    Ok(HttpResponse::Created()
        .insert_header((
            "location",
            format!("/api/v1/consent-requests/{}", request.id),
        ))
        .json(View::new(request, Some(url.to_string()))))
}

/// One consent request
#[utoipa::path(get, path = "/api/v1/consent-requests/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<ConsentRequestId>) -> Answer {
    let found = consent_request::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::new(found, None)))
}

/// Look again whether a consent has spread
///
/// It is looked at by itself as well; of a request that has ended nothing changes.
#[utoipa::path(post, path = "/api/v1/consent-requests/{id}/checks", params(("id" = Uuid, Path)),
    responses((status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn check(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<ConsentRequestId>,
) -> Answer {
    let found = consent_request::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    if found.step == ConsentStep::Spreading {
        portal.consent.check_again(&principal.scope, found).await?;
    }
    get(principal, id).await
}
