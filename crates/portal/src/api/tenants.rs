//! Tenants.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{CredentialId, Tenant, TenantId, Timestamp, mapping, tenant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, List, Paging, query};
use crate::{
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// A Microsoft Entra directory as one credential sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct View {
    /// Our id.
    id: Uuid,
    /// Microsoft's tenant id.
    directory_id: Uuid,
    credential_id: Uuid,
    display_name: String,
    default_domain: String,
    domains: Vec<String>,
    country: Option<String>,
    /// `discovered`, `consented` or `disconnected`.
    state: String,
    /// How it became known: `consent`, `gdap`, `contract`, `domains`, `single_tenant`, `delegated`.
    found_by: String,
    /// How it relates to the partner, where discovery said so.
    relationship: Option<String>,
    /// Application permissions that were found granted; null where that could not be read.
    granted_permissions: Option<Vec<String>>,
    /// The mapping that holds it, if any.
    mapping_id: Option<Uuid>,
    consented_at: Option<String>,
    last_error_code: Option<String>,
    last_error: Option<String>,
}

impl View {
    fn new(t: Tenant, mapping: Option<Uuid>) -> Self {
        Self {
            domains: t.domain_list(),
            granted_permissions: t.granted_list(),
            found_by: t.found_by,
            relationship: t.relationship,
            id: t.id.0,
            directory_id: t.directory_id.0,
            credential_id: t.credential_id.0,
            display_name: t.display_name,
            default_domain: t.default_domain,
            country: t.country,
            state: t.state.to_string(),
            mapping_id: mapping,
            consented_at: t.consented_at.map(Timestamp::rfc3339),
            last_error_code: t.last_error_code,
            last_error: t.last_error,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Filter {
    credential_id: Option<CredentialId>,
    mapped: Option<bool>,
}

/// Tenants
#[utoipa::path(get, path = "/api/v1/tenants", params(Paging,
    ("credential_id" = Option<Uuid>, Query, description = "Of one credential"),
    ("mapped" = Option<bool>, Query, description = "Only mapped or unmapped ones")), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let filter: Filter = query(&request)?;
    let mappings = mapping::list(&principal.scope, None).await?;
    let mapped = |t: &Tenant| {
        let found = mappings
            .iter()
            .find(|m| m.mapping.directory_id == t.directory_id);
        found.map(|m| m.mapping.id.0)
    };
    let mut all = tenant::list(&principal.scope, filter.credential_id).await?;
    if let Some(wanted) = filter.mapped {
        all.retain(|t| mapped(t).is_some() == wanted);
    }
    paging.cut(all, |t| {
        let mapping = mapped(&t);
        View::new(t, mapping)
    })
}

/// One tenant
#[utoipa::path(get, path = "/api/v1/tenants/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<TenantId>) -> Answer {
    let found = tenant::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let mappings = mapping::list(&principal.scope, None).await?;
    let mapping = mappings
        .iter()
        .find(|m| m.mapping.directory_id == found.directory_id);
    let mapping = mapping.map(|m| m.mapping.id.0);
    Ok(HttpResponse::Ok().json(View::new(found, mapping)))
}
