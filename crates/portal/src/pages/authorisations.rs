//! Authorising a delegated connection: off to Microsoft as a person, and back.

use actix_web::{HttpMessage, HttpRequest, http::StatusCode, web};
use askama::Template;
use consent::{Outcome, authorisation::Authorised};
use model::{CredentialId, connection_test, credential};

use super::credentials::{page_of, to_microsoft};
use crate::{
    Portal,
    cookie::Name,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, Bare, html_status, see_other},
};

#[derive(Template)]
#[template(path = "credentials/not_authorised.html")]
struct NotAuthorised {
    bare: Bare,
    outcome: Outcome,
    code: Option<String>,
    credential: Option<CredentialId>,
}

pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
) -> Answer {
    let credential = credential::get(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let session = principal.session.clone().ok_or(PageProblem::NotFound)?;
    let (url, cookie) = portal
        .consent
        .authorise(&principal.scope, &credential, &session.token_hash)
        .await?;
    let mut response = to_microsoft(&url);
    // The cookie's parts are ours, so it always fits a header.
    let _ = response.add_cookie(&Name::Consent.with(&portal, cookie));
    Ok(response)
}

/// Microsoft's return: where the person authorised, the connection is tested at once.
pub(super) async fn ended(request: &HttpRequest, portal: &Portal, ended: Authorised) -> Answer {
    let signed = request.extensions().get::<Signed>().cloned();
    let id = ended.credential.as_ref().map(|(_, c)| c.id);
    if let (Outcome::Granted, Some((_, credential)), Some(signed)) =
        (ended.outcome, ended.credential, signed)
    {
        let scope = signed.scope.clone();
        let directory = credential.directory_id;
        let begun = connection_test::begin(&scope, &credential, directory).await?;
        let to = format!("{}#test", page_of(credential.id));
        let consent = portal.consent.clone();
        actix_web::rt::spawn(async move {
            if let Err(error) = consent.test_connection(&scope, &credential, &begun).await {
                tracing::warn!(%error, "a test of a connection did not end");
            }
        });
        return Ok(see_other(&to));
    }
    let page = NotAuthorised {
        bare: Bare::new(request, portal),
        outcome: ended.outcome,
        code: ended.code,
        credential: id,
    };
    html_status(StatusCode::BAD_REQUEST, &page)
}
