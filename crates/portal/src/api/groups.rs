//! Groups of a company and their members.

use actix_web::{HttpRequest, web};
use model::{
    CompanyId, GroupMember, company,
    directory::{self, GroupWithCount},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(crate) struct View {
    /// Microsoft's object id.
    id: String,
    mapping_id: Uuid,
    display_name: String,
    description: Option<String>,
    /// `microsoft365`, `security`, `mail_enabled_security`, `distribution` or `unknown`.
    kind: String,
    /// The rule that decides membership, of a dynamic group.
    membership_rule: Option<String>,
    mail: Option<String>,
    visibility: Option<String>,
    is_assignable_to_role: Option<bool>,
    /// Direct members.
    member_count: i64,
}

impl From<GroupWithCount> for View {
    fn from(row: GroupWithCount) -> Self {
        let g = row.group;
        Self {
            id: g.id,
            mapping_id: g.mapping_id.0,
            display_name: g.display_name,
            description: g.description,
            kind: g.kind,
            membership_rule: g.membership_rule,
            mail: g.mail,
            visibility: g.visibility,
            is_assignable_to_role: g.is_assignable_to_role,
            member_count: row.members,
        }
    }
}

/// A direct member of a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupMember)]
pub(crate) struct Member {
    /// Microsoft's object id.
    id: String,
    /// `user`, `group`, `device`, `servicePrincipal`, …
    member_type: String,
    display_name: Option<String>,
}

impl From<GroupMember> for Member {
    fn from(m: GroupMember) -> Self {
        Self {
            id: m.id,
            member_type: m.member_type,
            display_name: m.display_name,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
}

/// Groups of a company, by name
#[utoipa::path(get, path = "/api/v1/companies/{id}/groups", params(("id" = Uuid, Path), Paging,
    ("search" = Option<String>, Query, description = "Part of name or description")),
    responses((status = 200, body = List<View>), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let search: Search = query(&request)?;
    company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let found = directory::groups(
        &principal.scope,
        *id,
        &search.search,
        None,
        paging.window()?,
    )
    .await?;
    paging.page(found, View::from)
}

/// Direct members of a group, by name
#[utoipa::path(get, path = "/api/v1/companies/{id}/groups/{group_id}/members",
    params(("id" = Uuid, Path), ("group_id" = String, Path), Paging),
    responses((status = 200, body = List<Member>), (status = 400, body = Problem),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn members(
    request: HttpRequest,
    principal: Signed,
    path: web::Path<(CompanyId, String)>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let (company, group) = path.into_inner();
    company::get(&principal.scope, company)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let group = directory::group(&principal.scope, company, &group)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let found = directory::members(&principal.scope, &group.group, "", paging.window()?).await?;
    paging.page(found, Member::from)
}
