//! Credentials; secrets go in and never come out.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CredentialId, Timestamp,
    credential::{self, Credential, Draft},
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

/// A credential without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
pub(crate) struct View {
    id: Uuid,
    /// `multi_tenant`.
    kind: String,
    name: String,
    /// Name of the cloud: `global`, `usgov_l4`, `usgov_l5`, `china` or `custom`.
    cloud: String,
    /// The tenant that holds the registration.
    directory_id: Uuid,
    /// Application (client) id.
    client_id: Uuid,
    /// `draft`, `awaiting_consent`, `active`, `expiring`, `expired`, `failing` or `revoked`.
    state: String,
    /// RFC 3339.
    secret_expires_at: Option<String>,
    last_success_at: Option<String>,
    last_error_at: Option<String>,
    /// Microsoft's code.
    last_error_code: Option<String>,
    last_error: Option<String>,
    created_at: String,
}

impl View {
    fn new(c: Credential, now: Timestamp) -> Self {
        Self {
            id: c.id.0,
            kind: c.kind.to_string(),
            state: c.shown_state(now).to_owned(),
            name: c.name,
            cloud: c.cloud,
            directory_id: c.directory_id.0,
            client_id: c.client_id.0,
            secret_expires_at: c.secret_expires_at.map(Timestamp::rfc3339),
            last_success_at: c.last_success_at.map(Timestamp::rfc3339),
            last_error_at: c.last_error_at.map(Timestamp::rfc3339),
            last_error_code: c.last_error_code,
            last_error: c.last_error,
            created_at: c.created_at.rfc3339(),
        }
    }
}

/// A new credential. All ids as text, so that what is wrong with one can be said.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewCredential)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    /// Name of the cloud; `global` unless told.
    #[serde(default = "global")]
    cloud: String,
    /// The tenant that holds the registration.
    directory_id: String,
    /// Application (client) id.
    client_id: String,
    /// The secret's value (not its id).
    client_secret: String,
    /// `yyyy-mm-dd`.
    #[serde(default)]
    secret_expires: String,
}

fn global() -> String {
    "global".into()
}

/// Credentials
#[utoipa::path(get, path = "/api/v1/credentials", params(Paging), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let now = principal.scope.now();
    paging.cut(credential::list(&principal.scope).await?, |c| {
        View::new(c, now)
    })
}

/// Add a credential
///
/// It is a draft until consent is granted: ask for that with a consent request.
#[utoipa::path(post, path = "/api/v1/credentials", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let new = new.into_inner();
    let connection = &portal.consent.connection;
    let draft = Draft {
        name: new.name,
        cloud: new.cloud,
        directory_id: new.directory_id,
        client_id: new.client_id,
        client_secret: new.client_secret,
        secret_expires: new.secret_expires,
    };
    let names = connection.clouds.names();
    let made = credential::create(&principal.scope, &connection.keyring, &names, &draft).await?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/credentials/{}", made.id)))
        .json(View::new(made, principal.scope.now())))
}

/// One credential
#[utoipa::path(get, path = "/api/v1/credentials/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    let found = credential::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::new(found, principal.scope.now())))
}
