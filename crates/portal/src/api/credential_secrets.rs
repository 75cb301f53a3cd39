//! Secrets and certificates of a credential: written, tried, put to use, never shown.

use actix_web::{HttpResponse, web};
use model::{
    CredentialId, CredentialSecretId, Timestamp,
    credential::{
        self, Draft,
        secret::{self, SecretFacts},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, credentials::proof};
use crate::{
    Portal,
    guard::Signed,
    pages::credential_secrets::{PageOrFields, refusal, renew},
    problem::{ApiProblem, Problem},
};

/// What may be known of a stored secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CredentialSecret)]
pub(crate) struct View {
    id: Uuid,
    /// `client_secret` or `certificate`.
    kind: String,
    /// `current`, `pending` (to be uploaded first) or `previous` (replaced less than a day ago).
    state: String,
    /// SHA-1 of a certificate, as Entra shows it.
    thumbprint: Option<String>,
    /// The public certificate in PEM.
    certificate: Option<String>,
    expires_at: Option<String>,
    created_at: String,
}

impl From<SecretFacts> for View {
    fn from(s: SecretFacts) -> Self {
        let certificate = s.certificate.as_deref().map(keys::Certificate::from_der);
        Self {
            id: s.id.0,
            kind: s.kind.to_string(),
            state: s.state.to_string(),
            thumbprint: s.thumbprint,
            certificate: certificate.and_then(Result::ok).map(|c| c.pem()),
            expires_at: s.expires_at.map(Timestamp::rfc3339),
            created_at: s.created_at.rfc3339(),
        }
    }
}

/// A new secret or certificate.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewCredentialSecret)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// A client secret's value.
    #[serde(default)]
    client_secret: String,
    /// `yyyy-mm-dd`.
    #[serde(default)]
    secret_expires: String,
    /// Or a private key with its certificate, in PEM.
    #[serde(default)]
    certificate: String,
    /// What opens the private key, where it is encrypted.
    #[serde(default)]
    password: String,
    /// Or a key pair is made here; it waits until its certificate is uploaded.
    #[serde(default)]
    make_certificate: bool,
}

async fn all(principal: &Signed, id: CredentialId) -> Result<Vec<View>, ApiProblem> {
    credential::get(&principal.scope, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let listed = secret::list(&principal.scope, id).await?;
    Ok(listed.into_iter().map(View::from).collect())
}

/// Secrets and certificates of a credential
#[utoipa::path(get, path = "/api/v1/credentials/{id}/secrets", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Vec<View>), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn list(principal: Signed, id: web::Path<CredentialId>) -> Answer {
    Ok(HttpResponse::Ok().json(all(&principal, *id).await?))
}

/// Renew a credential
///
/// The new secret or certificate is tried with Microsoft before it replaces the old one, which is
/// kept for a day for runs in flight.
#[utoipa::path(post, path = "/api/v1/credentials/{id}/secrets", request_body = New,
    params(("id" = Uuid, Path)), responses(
    (status = 201, body = Vec<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    new: web::Json<New>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let draft = Draft {
        proof: proof(new.make_certificate, &new.certificate, &new.password),
        client_secret: new.client_secret.clone(),
        secret_expires: new.secret_expires.clone(),
        ..Draft::default()
    };
    match renew(&portal, &principal, &credential, &draft).await {
        Ok(()) => Ok(HttpResponse::Created().json(all(&principal, *id).await?)),
        Err(PageOrFields::Model(error)) => Err(error.into()),
        Err(PageOrFields::Consent(error)) => Err(error.into()),
        Err(PageOrFields::Fields(errors)) => Err(model::Error::Invalid(errors).into()),
    }
}

/// Use a certificate that was uploaded
#[utoipa::path(post, path = "/api/v1/credentials/{id}/secrets/{secret_id}/use",
    params(("id" = Uuid, Path), ("secret_id" = Uuid, Path)), responses(
    (status = 200, body = Vec<View>), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn promote(
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CredentialId, CredentialSecretId)>,
) -> Answer {
    let (id, secret_id) = path.into_inner();
    let (scope, connection) = (&principal.scope, &portal.consent.connection);
    let credential = credential::get(scope, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let opened = secret::open_pending(scope, &connection.keyring, id, secret_id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let tried = connection.try_stored(scope, &credential, &opened).await?;
    if let Err(error) = tried {
        return Err(model::Error::Invalid(vec![refusal("certificate", &error)]).into());
    }
    if !secret::promote(scope, id, secret_id).await? {
        return Err(ApiProblem::NotFound);
    }
    Ok(HttpResponse::Ok().json(all(&principal, id).await?))
}
