//! Consent links for customers' administrators.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    ConsentLink, ConsentLinkId, CredentialId, Timestamp,
    consent_link::{self, Draft},
    credential,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    Portal,
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A consent link.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsentLink)]
pub(crate) struct View {
    id: Uuid,
    credential_id: Uuid,
    /// The tenant that must consent, if it is pinned.
    directory_id: Option<Uuid>,
    company_name: String,
    note: String,
    /// `open`, `used`, `expired` or `withdrawn`.
    state: String,
    /// When it was first opened; mail scanners open links too.
    opened_at: Option<String>,
    /// `granted`, `declined`, …: how the newest attempt ended.
    outcome: Option<String>,
    created_at: String,
    expires_at: String,
    /// Where the administrator goes; only in the answer that creates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

fn view(link: ConsentLink, outcome: Option<String>, url: Option<String>, now: Timestamp) -> View {
    View {
        state: link.standing(now).as_str().to_owned(),
        id: link.id.0,
        credential_id: link.credential_id.0,
        directory_id: link.directory_id.map(|d| d.0),
        company_name: link.company_name,
        note: link.note,
        opened_at: link.opened_at.map(Timestamp::rfc3339),
        outcome,
        created_at: link.created_at.rfc3339(),
        expires_at: link.expires_at.rfc3339(),
        url,
    }
}

/// A link to make.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewConsentLink)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    credential_id: Uuid,
    /// The customer's tenant id, where it is known.
    #[serde(default)]
    directory_id: String,
    /// Shown to the administrator.
    #[serde(default)]
    company_name: String,
    /// Shown to the administrator.
    #[serde(default)]
    note: String,
    /// 1, 7, 14 or 30; 7 unless told.
    #[serde(default, deserialize_with = "super::whole_number")]
    days: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    credential_id: CredentialId,
}

/// Consent links of a credential
#[utoipa::path(get, path = "/api/v1/consent-links", params(Paging,
    ("credential_id" = Uuid, Query, description = "Of this credential")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let now = principal.scope.now();
    let all = consent_link::list(&principal.scope, filter.credential_id).await?;
    paging.cut(all, |(link, request)| {
        view(link, request.and_then(|r| r.outcome), None, now)
    })
}

/// Make a consent link
///
/// Its address is in this answer alone.
#[utoipa::path(post, path = "/api/v1/consent-links", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let id = CredentialId(new.credential_id);
    credential::get(&principal.scope, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let draft = Draft {
        directory_id: new.directory_id.clone(),
        company_name: new.company_name.clone(),
        note: new.note.clone(),
        days: new.days.map(|d| d.to_string()).unwrap_or_default(),
    };
    let token = keys::random_token()?;
    let link = consent_link::create(&principal.scope, id, &draft, &token).await?;
    let url = portal.url(&format!("/consent/links/{token}"));
    Ok(HttpResponse::Created().json(view(link, None, Some(url), principal.scope.now())))
}

/// Withdraw a consent link
#[utoipa::path(delete, path = "/api/v1/consent-links/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<ConsentLinkId>) -> Answer {
    if consent_link::withdraw(&principal.scope, *id).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(ApiProblem::NotFound)
    }
}
