//! Members of the organisation, and invitations to become one.
//!
//! How somebody signs in (passwords, passkeys, single sign-on, sessions) is theirs alone, with a fresh proof
//! in a browser: a token, which has none, may not touch it.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, InvitationId, InvitationRow, MemberId, Role, Timestamp, invitation,
    member::{self, Colleague},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{Portal, guard::Signed};

/// A member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(crate) struct View {
    id: Uuid,
    email: String,
    /// `viewer`, `auditor`, `technician`, `admin` or `owner`.
    role: &'static str,
    /// Companies that they may see; null means all.
    company_ids: Option<Vec<Uuid>>,
    has_second_factor: bool,
    joined_at: String,
}

impl From<Colleague> for View {
    fn from(one: Colleague) -> Self {
        Self {
            id: one.id.0,
            email: one.email,
            role: one.role.as_str(),
            company_ids: one
                .companies
                .map(|all| all.into_iter().map(|id| id.0).collect()),
            has_second_factor: one.has_second_factor,
            joined_at: one.joined_at.rfc3339(),
        }
    }
}

/// Members
#[utoipa::path(get, path = "/api/v1/members", params(Paging), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    paging.cut(member::colleagues(&principal.scope).await?, View::from)
}

/// One member
#[utoipa::path(get, path = "/api/v1/members/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<MemberId>) -> Answer {
    let found = member::colleague(&principal.scope, *id).await?;
    Ok(HttpResponse::Ok().json(View::from(found.ok_or(ApiProblem::NotFound)?)))
}

/// What a member may do, and which companies they see.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MemberChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// `viewer`, `auditor`, `technician`, `admin` or `owner`.
    #[schema(pattern = "^(viewer|auditor|technician|admin|owner)$")]
    role: String,
    /// Companies that they may see; null means all.
    #[serde(default)]
    company_ids: Option<Vec<Uuid>>,
}

fn role(word: &str) -> Result<Role, ApiProblem> {
    word.parse()
        .map_err(|why: String| model::Error::field("role", why).into())
}

fn companies(ids: Option<Vec<Uuid>>) -> Option<Vec<CompanyId>> {
    ids.map(|all| all.into_iter().map(CompanyId).collect())
}

/// Change what a member may do
///
/// Their sessions here end.
#[utoipa::path(patch, path = "/api/v1/members/{id}", params(("id" = Uuid, Path)), request_body = Change,
    responses((status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<MemberId>,
    change: web::Json<Change>,
) -> Answer {
    let change = change.into_inner();
    let companies = companies(change.company_ids);
    member::change(
        &principal.scope,
        *id,
        role(&change.role)?,
        companies.as_deref(),
    )
    .await?
    .ok_or(ApiProblem::NotFound)?;
    get(principal, id).await
}

/// End a membership
///
/// Their sessions and API tokens here end with it.
#[utoipa::path(delete, path = "/api/v1/members/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<MemberId>) -> Answer {
    member::remove(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}

/// An invitation that nobody has accepted yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(crate) struct InvitationView {
    id: Uuid,
    email: String,
    role: &'static str,
    expires_at: String,
}

impl From<InvitationRow> for InvitationView {
    fn from(row: InvitationRow) -> Self {
        Self {
            id: row.id.0,
            email: row.email,
            role: row.role.as_str(),
            expires_at: Timestamp::rfc3339(row.expires_at),
        }
    }
}

/// Open invitations
#[utoipa::path(get, path = "/api/v1/invitations", params(Paging), responses(
    (status = 200, body = List<InvitationView>), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn invitations(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    paging.cut(
        invitation::list(&principal.scope).await?,
        InvitationView::from,
    )
}

/// Somebody to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewInvitation)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[schema(max_length = 254)]
    email: String,
    /// `viewer`, `auditor`, `technician`, `admin` or `owner`.
    #[schema(pattern = "^(viewer|auditor|technician|admin|owner)$")]
    role: String,
    /// Companies that they may see; null means all.
    #[serde(default)]
    company_ids: Option<Vec<Uuid>>,
}

/// An invitation that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewInvitationLink)]
pub(crate) struct Link {
    /// Give it to them; it works once and is never shown again.
    url: String,
}

/// Invite somebody
#[utoipa::path(post, path = "/api/v1/invitations", request_body = New, responses(
    (status = 201, body = Link), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn invite(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let new = new.into_inner();
    let (role, companies) = (role(&new.role)?, companies(new.company_ids));
    let token =
        invitation::create(&principal.scope, &new.email, role, companies.as_deref()).await?;
    Ok(HttpResponse::Created().json(Link {
        url: portal.url(&format!("/invitations/{token}")),
    }))
}

/// Withdraw an invitation
#[utoipa::path(delete, path = "/api/v1/invitations/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn withdraw(principal: Signed, id: web::Path<InvitationId>) -> Answer {
    invitation::withdraw(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}
