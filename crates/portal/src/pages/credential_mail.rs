//! Mail from a mailbox of the partner: whose, to whom, and a test.

use actix_web::{HttpRequest, web};
use consent::mail;
use model::{CredentialId, FieldError, credential};
use serde::Deserialize;

use super::credentials::{Typed, page_of, show_credential};
use crate::{
    Portal,
    guard::Signed,
    problem::PageProblem,
    view::{Answer, see_other},
};

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    mail_from: String,
    #[serde(default)]
    mail_to: String,
    #[serde(default)]
    action: String,
}

pub(crate) async fn save(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    id: web::Path<CredentialId>,
    form: web::Form<Form>,
) -> Answer {
    let scope = &principal.scope;
    let found = credential::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let again = |errors: Vec<FieldError>| Typed {
        mail: Some((form.mail_from.clone(), form.mail_to.clone())),
        errors,
        ..Typed::default()
    };
    match credential::set_mail(scope, *id, &form.mail_from, &form.mail_to).await {
        Ok(true) => {}
        Ok(false) => return Err(PageProblem::NotFound),
        Err(model::Error::Invalid(errors)) => {
            return show_credential(&request, &portal, &principal, found, again(errors)).await;
        }
        Err(other) => return Err(other.into()),
    }
    if form.action != "test" {
        return Ok(see_other(&format!("{}#mail", page_of(*id))));
    }
    let saved = credential::get(scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let partner = model::partner::current(scope).await?.name;
    let sent = mail::send(
        &portal.consent.connection,
        scope,
        &saved,
        &mail::Mail {
            to: vec![saved.mail_to.clone()],
            subject: "Test mail".into(),
            text: format!("{partner} sends mail through Microsoft 365. This is the test of it."),
            ..mail::Mail::default()
        },
    )
    .await?;
    let typed = match sent {
        Ok(()) => Typed {
            mail_sent: true,
            ..Typed::default()
        },
        Err(error) => {
            let code = error.code().map(|c| format!(" ({c})")).unwrap_or_default();
            again(vec![FieldError {
                field: "mail",
                message: format!("{}{code} {}", error.sentence(), error.remedy()),
            }])
        }
    };
    show_credential(&request, &portal, &principal, saved, typed).await
}
