//! Discovery of customers' tenants.

use actix_web::{HttpResponse, web};
use consent::discovery::{self, Source};
use model::{CredentialId, FieldError, credential};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Answer;
use crate::{
    Portal,
    guard::Signed,
    problem::{ApiProblem, Problem},
};

/// Where to look.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewDiscovery)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// `gdap`, `contract` or `domains`.
    source: String,
    /// Domains or tenant ids, with `domains`.
    #[serde(default)]
    domains: Vec<String>,
}

/// A line that no tenant was found for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NotFoundDomain)]
pub(crate) struct Missing {
    domain: String,
    reason: String,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Discovery)]
pub(crate) struct View {
    found: usize,
    new: usize,
    not_found: Vec<Missing>,
}

/// Discover tenants
#[utoipa::path(post, path = "/api/v1/credentials/{id}/discoveries", request_body = New,
    params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    new: web::Json<New>,
) -> Answer {
    let (scope, connection) = (&principal.scope, &portal.consent.connection);
    let credential = credential::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let refused = |message: String| {
        ApiProblem::from(model::Error::Invalid(vec![FieldError {
            field: "source",
            message,
        }]))
    };
    let source = match new.source.as_str() {
        "gdap" => Some(Source::Gdap),
        "contract" => Some(Source::Contracts),
        "domains" => None,
        other => {
            return Err(refused(format!(
                "{other:?} is none of gdap, contract, domains"
            )));
        }
    };
    let summary = match source {
        Some(source) => discovery::discover(connection, scope, &credential, source)
            .await?
            .map_err(|e| refused(format!("{} {}", e.sentence(), e.remedy())))?,
        None => discovery::resolve(connection, scope, &credential, &new.domains).await?,
    };
    Ok(HttpResponse::Ok().json(View {
        found: summary.found,
        new: summary.new,
        not_found: summary
            .not_found
            .into_iter()
            .map(|(domain, reason)| Missing { domain, reason })
            .collect(),
    }))
}
