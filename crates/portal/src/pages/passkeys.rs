//! Passkeys: sign-in with one, adding and removing one's own.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{FieldError, PasskeyId, SignInMethod, passkey as passkeys};
use serde::Deserialize;

use super::{
    account::codes_page,
    error_of,
    sign_in::{count_begin, enter},
};
use crate::{
    Portal,
    guard::{Signed, safe_next},
    passkey::{self, Answered, Made, Question},
    problem::PageProblem,
    proof::encoded,
    view::{Answer, Bare, Page, filters, html_status, see_other},
};

#[derive(Template)]
#[template(path = "sign_in/passkey.html")]
struct SignInPage {
    bare: Bare,
    question: Question,
    /// Percent-encoded, for links.
    next: String,
    action: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Query {
    #[serde(default)]
    next: String,
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    query: web::Query<Query>,
) -> Answer {
    sign_in_page(&request, &portal, &query.next, StatusCode::OK, None).await
}

async fn sign_in_page(
    request: &HttpRequest,
    portal: &Portal,
    next: &str,
    status: StatusCode,
    error: Option<String>,
) -> Answer {
    count_begin(request, portal).await?;
    let (question, cookie) = passkey::ask(portal, None)
        .await?
        .ok_or(PageProblem::NotFound)?;
    let next = encoded(safe_next(next));
    let page = SignInPage {
        bare: Bare::new(request, portal),
        question,
        action: format!("/sign-in/passkey?next={next}"),
        next,
        error,
    };
    let mut response = html_status(status, &page)?;
    let _ = response.add_cookie(&cookie);
    Ok(response)
}

pub(crate) async fn sign_in(
    request: HttpRequest,
    portal: web::Data<Portal>,
    query: web::Query<Query>,
    form: web::Form<Answered>,
) -> Answer {
    match passkey::answer(&request, &portal, &form).await? {
        Some(member) => {
            let next = safe_next(&query.next);
            enter(&request, &portal, &member, SignInMethod::Passkey, next).await
        }
        None => {
            let error = "This passkey was not accepted. Try again, or sign in with your password.";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            sign_in_page(&request, &portal, &query.next, status, Some(error.into())).await
        }
    }
}

#[derive(Template)]
#[template(path = "account/passkey.html")]
struct New {
    page: Page,
    question: Question,
    /// The member's id, as the authenticator keeps it.
    user: String,
    name: String,
    errors: Vec<FieldError>,
}

impl New {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    principal.require_own_sign_in()?;
    new_page(&request, &portal, &principal, String::new(), vec![]).await
}

async fn new_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    name: String,
    errors: Vec<FieldError>,
) -> Answer {
    let (question, cookie) = passkey::ask(portal, Some(principal.member.id))
        .await?
        .ok_or_else(|| {
            PageProblem::Conflict(
                "Browsers have passkeys for a domain over https alone. Ask your operator to set \
                 the public URL."
                    .into(),
            )
        })?;
    let status = match errors.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let page = New {
        page: Page::new(request, portal, principal, "Add a passkey", "account")
            .await?
            .under("Your account", "/account"),
        question,
        user: data_encoding::BASE64URL_NOPAD.encode(principal.member.id.0.as_bytes()),
        name,
        errors,
    };
    let mut response = html_status(status, &page)?;
    let _ = response.add_cookie(&cookie);
    Ok(response)
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<Made>,
) -> Answer {
    principal.require_own_sign_in()?;
    let made = passkey::made(&request, &portal, principal.member.id, &form).await?;
    let Some(made) = made else {
        let errors = vec![FieldError {
            field: "passkey",
            message: "No passkey was made. Try again: the browser asks where to keep it.".into(),
        }];
        return new_page(&request, &portal, &principal, form.name.clone(), errors).await;
    };
    let kept = serde_json::to_string(&made.key).map_err(|e| PageProblem::Inner(e.to_string()))?;
    match passkeys::add(&principal, &made.id, &kept, &form.name).await {
        Ok(codes) if codes.is_empty() => Ok(see_other("/account?done=passkey")),
        Ok(codes) => codes_page(&request, &portal, &principal, codes).await,
        Err(model::Error::Invalid(errors)) => {
            new_page(&request, &portal, &principal, form.name.clone(), errors).await
        }
        Err(other) => Err(other.into()),
    }
}

pub(crate) async fn delete(principal: Signed, id: web::Path<PasskeyId>) -> Answer {
    passkeys::remove(&principal, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/account?done=passkey-removed"))
}
