//! Groups of a company and their members.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, GroupMember, RunKind, company,
    directory::{self, GroupWithCount},
    inventory::{GroupRow, Object, Snapshot},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Answer, List, Paging, objects, query};
use crate::{
    guard::Signed,
    ndjson,
    pages::groups::KINDS,
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

/// Which groups.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Part of name or description
    #[serde(default)]
    search: String,
    /// `microsoft365`, `security`, `mail_enabled_security` or `distribution`.
    #[serde(default)]
    #[param(pattern = "^(|microsoft365|security|mail_enabled_security|distribution)$")]
    kind: String,
}

impl Wanted {
    fn kind(&self) -> Result<Option<&'static str>, ApiProblem> {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.0).collect();
        match self.kind.as_str() {
            "" => Ok(None),
            word => match known.iter().find(|kind| **kind == word) {
                Some(kind) => Ok(Some(kind)),
                None => Err(ApiProblem::BadRequest(format!(
                    "kind: give one of {}.",
                    known.join(", ")
                ))),
            },
        }
    }
}

/// Groups of a company, by name
///
/// All pages are of one snapshot. With `Accept: application/x-ndjson` all groups are answered, one a line.
#[utoipa::path(get, path = "/api/v1/companies/{id}/groups", params(("id" = Uuid, Path), Paging, Wanted),
    responses((status = 200, content((List<View> = "application/json"), (String = "application/x-ndjson"))),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(crate) async fn list(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<CompanyId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let wanted: Wanted = query(&request)?;
    let kind = wanted.kind()?;
    company::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let mut seen = Snapshot::of_company(&principal.scope, *id, RunKind::Directory).await?;
    paging.pin(|pins| seen.pin(pins))?;
    if ndjson::is_wanted(&request) {
        let read = move |window| {
            let (principal, seen) = (principal.clone(), seen.clone());
            let search = wanted.search.clone();
            async move { directory::groups_in(&principal.scope, &seen, &search, kind, window).await }
        };
        return Ok(ndjson::rows(read, View::from));
    }
    let (scope, window) = (&principal.scope, paging.window()?);
    let found = directory::groups_in(scope, &seen, &wanted.search, kind, window).await?;
    paging.pinned(found, &seen.generations(), View::from)
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

/// A group with what syncs saw happen to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupDetail)]
pub(crate) struct Detail {
    #[serde(flatten)]
    group: View,
    /// When a sync saw that it was gone.
    gone_at: Option<String>,
    /// What syncs saw happen, newest first.
    #[schema(value_type = Vec<Object>)]
    history: Vec<Value>,
}

/// One group with its history, also one that is gone
#[utoipa::path(get, path = "/api/v1/companies/{id}/groups/{group_id}",
    params(("id" = Uuid, Path), ("group_id" = String, Path)), responses((status = 200, body = Detail),
        (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, path: web::Path<(CompanyId, String)>) -> Answer {
    let (id, object) = path.into_inner();
    let scope = &principal.scope;
    let group = directory::group(scope, id, &object)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let snapshot = Snapshot::of_company(scope, id, RunKind::Directory).await?;
    let detail = Detail {
        gone_at: group.gone_at.map(model::Timestamp::rfc3339),
        history: objects::history(scope, id, GroupRow::TABLE, &snapshot, &object).await?,
        group: group.into(),
    };
    Ok(HttpResponse::Ok().json(detail))
}
