//! Mappings.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CompanyId, CredentialId, MappingId, TenantId, Timestamp,
    mapping::{self, Choice, MappingRow, Pair},
    tenant,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A company's tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mapping)]
pub(crate) struct View {
    id: Uuid,
    company_id: Uuid,
    company_name: String,
    tenant_id: Uuid,
    tenant_name: String,
    directory_id: Uuid,
    credential_id: Uuid,
    /// `imported` or `chosen`.
    matched_by: String,
    /// Minutes between syncs, where they are not the credential's.
    sync_interval_minutes: Option<i64>,
    /// `completed`, `partial` or `failed`; null before the first sync ended.
    last_sync_state: Option<String>,
    last_sync_at: Option<String>,
    created_at: String,
}

impl From<MappingRow> for View {
    fn from(row: MappingRow) -> Self {
        Self {
            id: row.mapping.id.0,
            company_id: row.company.id.0,
            company_name: row.company.name,
            tenant_id: row.tenant.id.0,
            tenant_name: row.tenant.display_name,
            directory_id: row.tenant.directory_id.0,
            credential_id: row.mapping.credential_id.0,
            matched_by: row.mapping.matched_by,
            sync_interval_minutes: row.mapping.interval_minutes,
            last_sync_state: row.mapping.last_sync_state,
            last_sync_at: row.mapping.last_sync_at.map(Timestamp::rfc3339),
            created_at: row.mapping.created_at.rfc3339(),
        }
    }
}

/// A mapping to make: an existing company, or the name of one to make.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewMapping)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// Our id of the tenant.
    tenant_id: Uuid,
    /// The company to map it to.
    #[serde(default)]
    company_id: Option<Uuid>,
    /// Or the name of a company to make; the tenant's name where both are left out.
    #[serde(default)]
    company_name: Option<String>,
}

/// What changes of a mapping.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MappingChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// 15, 60, 360, 720 or 1440; null for as often as the credential says.
    #[serde(deserialize_with = "super::whole_number")]
    #[schema(required = true)]
    sync_interval_minutes: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    company_id: Option<CompanyId>,
    credential_id: Option<CredentialId>,
}

/// Mappings
#[utoipa::path(get, path = "/api/v1/mappings", params(Paging,
    ("company_id" = Option<Uuid>, Query, description = "Of one company"),
    ("credential_id" = Option<Uuid>, Query, description = "Of one credential")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let mut all = mapping::list(&principal.scope, filter.credential_id).await?;
    all.retain(|m| filter.company_id.is_none_or(|id| m.company.id == id));
    paging.cut(all, View::from)
}

/// Map a tenant to a company
///
/// Its first sync starts at once.
#[utoipa::path(post, path = "/api/v1/mappings", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(principal: Signed, new: web::Json<New>) -> Answer {
    let scope = &principal.scope;
    let found = tenant::get(scope, TenantId(new.tenant_id))
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let choice = match (new.company_id, &new.company_name) {
        (Some(_), Some(_)) => {
            return Err(model::Error::field(
                "company_name",
                "Give company_id or company_name, not both.",
            )
            .into());
        }
        (Some(id), None) => Choice::MapTo(CompanyId(id)),
        (None, Some(name)) => Choice::Create(name.clone()),
        (None, None) => Choice::Create(found.display_name.clone()),
    };
    let pair = Pair {
        tenant: found.id,
        choice,
    };
    let made = mapping::create(scope, found.credential_id, &[pair]).await?;
    let (id, _) = made.into_iter().next().ok_or(ApiProblem::NotFound)?;
    let row = mapping::get(scope, id).await?.ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/mappings/{id}")))
        .json(View::from(row)))
}

/// One mapping
#[utoipa::path(get, path = "/api/v1/mappings/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<MappingId>) -> Answer {
    let row = mapping::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(row)))
}

/// Change a mapping
///
/// How often it is synced.
#[utoipa::path(patch, path = "/api/v1/mappings/{id}", params(("id" = Uuid, Path)), request_body = Change,
    responses((status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<MappingId>,
    change: web::Json<Change>,
) -> Answer {
    let scope = &principal.scope;
    if !mapping::set_interval(scope, *id, change.sync_interval_minutes).await? {
        return Err(ApiProblem::NotFound);
    }
    let row = mapping::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(row)))
}

/// Delete a mapping
///
/// Syncing stops. The data stays readable and comes back when the same pair is mapped again.
#[utoipa::path(delete, path = "/api/v1/mappings/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<MappingId>) -> Answer {
    if mapping::delete(&principal.scope, *id).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(ApiProblem::NotFound)
    }
}

/// Where to map to from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Remap)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remap {
    company_id: Uuid,
}

/// Map a tenant to another company
///
/// Ends this mapping and begins another one. Data that was collected stays with the company for
/// which it was collected.
#[utoipa::path(post, path = "/api/v1/mappings/{id}/remap", request_body = Remap,
    params(("id" = Uuid, Path)), responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn remap(
    principal: Signed,
    id: web::Path<MappingId>,
    to: web::Json<Remap>,
) -> Answer {
    let scope = &principal.scope;
    let (made, _) = mapping::remap(scope, *id, CompanyId(to.company_id))
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let row = mapping::get(scope, made)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Created().json(View::from(row)))
}
