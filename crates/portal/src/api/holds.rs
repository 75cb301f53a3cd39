//! Falls of a collection that are held back until somebody confirms them.

use actix_web::{HttpResponse, web};
use model::{CompanyId, MappingId, RunCause, RunKind, company, inventory, mapping, run};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, Problem};
use crate::guard::Signed;

/// A fall of a collection that is held back.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
pub(crate) struct View {
    mapping_id: Uuid,
    /// The collection.
    name: String,
    since: String,
    /// Objects that Microsoft did not name any more.
    missing: i64,
    /// Objects that were there.
    known: i64,
    /// Once confirmed, the next sync removes them.
    confirmed: bool,
}

/// All of a company.
#[derive(Serialize, ToSchema)]
#[schema(as = Holds)]
pub(crate) struct All {
    value: Vec<View>,
}

/// Falls of collections that are held back
#[utoipa::path(get, path = "/api/v1/companies/{id}/holds", params(("id" = Uuid, Path)),
    responses((status = 200, body = All), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(principal: Signed, id: web::Path<CompanyId>) -> Answer {
    let scope = &principal.scope;
    company::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let holds = inventory::holds(scope, *id).await?;
    let value = holds
        .into_iter()
        .map(|hold| View {
            mapping_id: hold.mapping.0,
            since: hold.since.rfc3339(),
            missing: hold.missing,
            known: hold.known,
            confirmed: hold.confirmed_at.is_some(),
            name: hold.name,
        })
        .collect();
    Ok(HttpResponse::Ok().json(All { value }))
}

/// The collection whose fall is real.
#[derive(Deserialize, ToSchema)]
#[schema(as = Confirmation)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    #[serde(default)]
    name: String,
}

/// Confirm a fall: a sync is started that removes what is missing
#[utoipa::path(post, path = "/api/v1/mappings/{id}/confirmations", params(("id" = Uuid, Path)),
    request_body = Confirmation,
    responses((status = 202), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(crate) async fn confirm(
    principal: Signed,
    id: web::Path<MappingId>,
    confirmation: web::Json<Confirmation>,
) -> Answer {
    let scope = &principal.scope;
    mapping::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    inventory::confirm(scope, *id, &confirmation.name)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let of = run::Of::Mapping(*id);
    run::request(scope, of, &[RunKind::Directory], RunCause::Reconcile).await?;
    Ok(HttpResponse::Accepted().finish())
}
