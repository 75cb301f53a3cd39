//! Renewing what a credential proves itself with: a new secret or certificate is tried before it
//! takes the old one's place.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use askama::Template;
use graph::{Class, Error as GraphError};
use model::{
    CredentialId, CredentialSecretId, FieldError,
    credential::{
        self, Credential, Draft, Proof,
        secret::{self, NewSecret},
    },
};

use super::{
    credential_form::proof_of,
    credentials::{ENTRA, Typed, frame, page_of, show_credential},
    error_of,
};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    upload::Fields,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "credentials/renew.html")]
struct Renew {
    page: Page,
    credential: Credential,
    proof: String,
    secret_expires: String,
    errors: Vec<FieldError>,
}

impl Renew {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

async fn load(principal: &Signed, id: CredentialId) -> Result<Credential, PageProblem> {
    credential::get(&principal.scope, id)
        .await?
        .ok_or(PageProblem::NotFound)
}

async fn renew_frame(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    credential: &Credential,
) -> Result<Page, PageProblem> {
    Ok(frame(
        request,
        portal,
        principal,
        &format!("Renew {}", credential.name),
    )
    .await?
    .under("Microsoft Entra ID", ENTRA)
    .under(&credential.name, page_of(credential.id)))
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
) -> Answer {
    let credential = load(&principal, *id).await?;
    let page = renew_frame(&request, &portal, &principal, &credential).await?;
    html(&Renew {
        page,
        credential,
        proof: "secret".into(),
        secret_expires: String::new(),
        errors: vec![],
    })
}

/// Why a new secret was not taken, at its field.
pub(crate) fn refusal(field: &'static str, error: &GraphError) -> FieldError {
    let code = error.code().map(|c| format!(" ({c})")).unwrap_or_default();
    let kept = "The stored one stays in use.";
    FieldError {
        field,
        message: match (error.class(), field) {
            (Class::Credential, "client_secret") => format!(
                "{}{code} {kept} Paste the value here: the column headed Value, not Secret ID.",
                error.sentence()
            ),
            (Class::Credential, _) => {
                format!("{}{code} {kept} {}", error.sentence(), error.remedy())
            }
            _ => format!(
                "It could not be tried: {}{code} {kept} Try again in a few minutes.",
                error.sentence()
            ),
        },
    }
}

/// Tries a secret or certificate and, where Microsoft takes it, puts it to use. A certificate that
/// is made here waits until it is uploaded.
pub(crate) async fn renew(
    portal: &Portal,
    principal: &Signed,
    credential: &Credential,
    draft: &Draft,
) -> Result<(), PageOrFields> {
    let (scope, connection) = (&principal.scope, &portal.consent.connection);
    scope.require(model::Role::Admin)?;
    if let Proof::NewCertificate = draft.proof {
        let made = NewSecret::make_certificate(&credential.name, scope.now()).await?;
        secret::add_pending(scope, &connection.keyring, credential.id, &made).await?;
        return Ok(());
    }
    let new = credential::parse_new_secret(draft).await?;
    let field = match new {
        NewSecret::Certificate(_) => "certificate",
        _ => "client_secret",
    };
    let tried = connection.try_secret(scope, credential, &new).await?;
    if let Err(error) = tried {
        return Err(PageOrFields::Fields(vec![refusal(field, &error)]));
    }
    secret::replace(scope, &connection.keyring, credential.id, &new).await?;
    Ok(())
}

/// An error of the whole request, or of its fields.
pub(crate) enum PageOrFields {
    /// Of the request.
    Model(model::Error),
    /// Of the consent crate.
    Consent(consent::Error),
    /// Of fields.
    Fields(Vec<FieldError>),
}

impl From<model::Error> for PageOrFields {
    fn from(error: model::Error) -> Self {
        match error {
            model::Error::Invalid(fields) => Self::Fields(fields),
            other => Self::Model(other),
        }
    }
}

impl From<consent::Error> for PageOrFields {
    fn from(error: consent::Error) -> Self {
        Self::Consent(error)
    }
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: Fields,
) -> Answer {
    let credential = load(&principal, *id).await?;
    let draft = Draft {
        proof: proof_of(&form),
        client_secret: form.get("client_secret").to_owned(),
        secret_expires: form.get("secret_expires").to_owned(),
        ..Draft::default()
    };
    match renew(&portal, &principal, &credential, &draft).await {
        Ok(()) if form.get("proof") == "new" => Ok(see_other(&format!("{}#secrets", page_of(*id)))),
        Ok(()) => Ok(see_other(&format!("{}?done=renewed", page_of(*id)))),
        Err(PageOrFields::Model(error)) => Err(error.into()),
        Err(PageOrFields::Consent(error)) => Err(error.into()),
        Err(PageOrFields::Fields(errors)) => {
            let page = renew_frame(&request, &portal, &principal, &credential).await?;
            let renew = Renew {
                page,
                credential,
                proof: form.get("proof").to_owned(),
                secret_expires: form.get("secret_expires").to_owned(),
                errors,
            };
            html_status(StatusCode::UNPROCESSABLE_ENTITY, &renew)
        }
    }
}

/// Puts a certificate that was made here to use, once it is uploaded.
pub(crate) async fn promote(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    path: web::Path<(CredentialId, CredentialSecretId)>,
) -> Answer {
    let (id, secret_id) = path.into_inner();
    let credential = load(&principal, id).await?;
    let connection = &portal.consent.connection;
    let scope = &principal.scope;
    let opened = secret::open_pending(scope, &connection.keyring, id, secret_id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let tried = connection.try_stored(scope, &credential, &opened).await?;
    if let Err(error) = tried {
        let typed = Typed {
            errors: vec![FieldError {
                field: "secret",
                ..refusal("certificate", &error)
            }],
            ..Typed::default()
        };
        return show_credential(&request, &portal, &principal, credential, typed).await;
    }
    if !secret::promote(scope, id, secret_id).await? {
        return Err(PageProblem::NotFound);
    }
    Ok(see_other(&format!("{}?done=renewed", page_of(id))))
}

pub(crate) async fn remove(
    principal: Signed,
    path: web::Path<(CredentialId, CredentialSecretId)>,
) -> Answer {
    let (id, secret_id) = path.into_inner();
    if !secret::remove(&principal.scope, id, secret_id).await? {
        return Err(PageProblem::NotFound);
    }
    Ok(see_other(&format!("{}#secrets", page_of(id))))
}

/// The public certificate, for upload to Entra.
pub(crate) async fn certificate(
    principal: Signed,
    path: web::Path<(CredentialId, CredentialSecretId)>,
) -> Answer {
    let (id, secret_id) = path.into_inner();
    let found = secret::list(&principal.scope, id)
        .await?
        .into_iter()
        .find(|s| s.id == secret_id)
        .and_then(|s| s.certificate)
        .and_then(|der| keys::Certificate::from_der(&der).ok())
        .ok_or(PageProblem::NotFound)?;
    let name = format!("tenantry-{}.cer", &found.thumbprint()[..8]);
    Ok(HttpResponse::Ok()
        .content_type("application/x-x509-ca-cert")
        .insert_header((
            "content-disposition",
            format!("attachment; filename=\"{name}\""),
        ))
        .body(found.pem()))
}
