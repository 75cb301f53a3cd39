//! Credentials; secrets go in and never come out.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    CredentialId, Timestamp,
    credential::{self, Credential, Draft, Proof},
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
    /// `multi_tenant`, `single_tenant` or `delegated`.
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
    /// What it is used for beside reading the directory.
    features: Vec<String>,
    /// Minutes between scheduled syncs.
    sync_interval_minutes: i64,
    /// Who authorised a delegated connection.
    authorised_as: Option<String>,
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
            features: c.features.iter().map(ToString::to_string).collect(),
            sync_interval_minutes: c.sync_interval_minutes,
            authorised_as: c.authorised_as,
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
    /// `multi_tenant` unless told, `single_tenant` or `delegated`.
    #[serde(default)]
    kind: String,
    name: String,
    /// Name of the cloud; `global` unless told.
    #[serde(default = "global")]
    cloud: String,
    /// The tenant that holds the registration.
    directory_id: String,
    /// Application (client) id.
    client_id: String,
    /// The secret's value (not its id).
    #[serde(default)]
    client_secret: String,
    /// `yyyy-mm-dd`.
    #[serde(default)]
    secret_expires: String,
    /// In place of a secret: a private key with its certificate, in PEM.
    #[serde(default)]
    certificate: String,
    /// What opens the private key, where it is encrypted.
    #[serde(default)]
    password: String,
    /// In place of both: a key pair is made here, and its certificate is to be uploaded.
    #[serde(default)]
    make_certificate: bool,
    /// `mfa` and `secure_score` unless told; also `discovery`, `contracts`, `mail`.
    #[serde(default)]
    features: Option<Vec<String>>,
    /// 15, 60, 360, 720 or 1440 minutes; a day unless told.
    #[serde(default, deserialize_with = "super::whole_number")]
    sync_interval_minutes: Option<i64>,
}

/// Secret or certificate of a request.
pub(super) fn proof(make: bool, certificate: &str, password: &str) -> Proof {
    if make {
        Proof::NewCertificate
    } else if certificate.is_empty() {
        Proof::Secret
    } else {
        Proof::OwnCertificate {
            file: certificate.as_bytes().to_vec().into(),
            password: password.to_owned().into(),
        }
    }
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
    let features = new.features.unwrap_or_else(|| {
        consent::permission::DEFAULT_FEATURES
            .iter()
            .map(ToString::to_string)
            .collect()
    });
    let draft = Draft {
        proof: proof(new.make_certificate, &new.certificate, &new.password),
        kind: new.kind,
        name: new.name,
        cloud: new.cloud,
        directory_id: new.directory_id,
        client_id: new.client_id,
        client_secret: new.client_secret,
        secret_expires: new.secret_expires,
        features,
        sync_interval: new
            .sync_interval_minutes
            .map(|m| m.to_string())
            .unwrap_or_default(),
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

/// What of a credential can be changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = CredentialChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default)]
    name: Option<String>,
    /// What it is used for beside reading the directory.
    #[serde(default)]
    features: Option<Vec<String>>,
    /// 15, 60, 360, 720 or 1440 minutes.
    #[serde(default, deserialize_with = "super::whole_number")]
    sync_interval_minutes: Option<i64>,
}

/// Change a credential
///
/// More features may need more permissions: ask for consent again then.
#[utoipa::path(patch, path = "/api/v1/credentials/{id}", params(("id" = Uuid, Path)), request_body = Change,
    responses((status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn update(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    change: web::Json<Change>,
) -> Answer {
    let found = credential::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let change = change.into_inner();
    let features = || found.features.iter().map(ToString::to_string).collect();
    let interval = change.sync_interval_minutes;
    let expires = found.secret_expires_at.map(Timestamp::day);
    let draft = Draft {
        kind: found.kind.to_string(),
        cloud: found.cloud.clone(),
        directory_id: found.directory_id.to_string(),
        client_id: found.client_id.to_string(),
        secret_expires: expires.unwrap_or_default(),
        features: change.features.unwrap_or_else(features),
        sync_interval: interval.unwrap_or(found.sync_interval_minutes).to_string(),
        name: change.name.unwrap_or(found.name),
        ..Draft::default()
    };
    let names = portal.consent.connection.clouds.names();
    credential::edit(&principal.scope, &names, *id, &draft)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    get(principal, id).await
}

/// Revoke a credential
///
/// Destroys its secrets, cancels open runs and disconnects its tenants; history stays readable.
#[utoipa::path(post, path = "/api/v1/credentials/{id}/revoke", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn revoke(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    if !credential::revoke(&principal.scope, *id).await? {
        return Err(ApiProblem::NotFound);
    }
    get(principal, id).await
}

/// Delete a revoked credential
#[utoipa::path(delete, path = "/api/v1/credentials/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    if credential::delete(&principal.scope, *id).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(ApiProblem::NotFound)
    }
}
