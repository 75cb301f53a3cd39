//! First start: the partner and its owner, opened by the token on the console.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{FieldError, SignInMethod, partner};
use serde::Deserialize;

use super::{
    error_of,
    sign_in::{Entry, enter_partner},
};
use crate::{
    Portal, password,
    problem::PageProblem,
    view::{Answer, Bare, filters, html_status, see_other},
};

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup {
    bare: Bare,
    form: Form,
    errors: Vec<FieldError>,
}

impl Setup {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    token: String,
    #[serde(default)]
    partner: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Query<Form>,
) -> Answer {
    if partner::count(&portal.db).await? > 0 {
        return Ok(see_other("/sign-in"));
    }
    let mut form = form.into_inner();
    form.password.clear();
    let mut errors = Vec::new();
    if !form.token.is_empty() && !partner::setup_token_is_valid(&portal.db, &form.token).await? {
        errors.push(FieldError {
            field: "token",
            message: "This is not the token on the console. It changes with every start.".into(),
        });
    }
    let setup = Setup {
        bare: Bare::new(&request, &portal),
        form,
        errors,
    };
    html_status(StatusCode::OK, &setup)
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Form<Form>,
) -> Answer {
    let form = form.into_inner();
    let again = |errors: Vec<FieldError>| {
        let mut form = form.clone();
        form.password.clear();
        let setup = Setup {
            bare: Bare::new(&request, &portal),
            form,
            errors,
        };
        html_status(StatusCode::UNPROCESSABLE_ENTITY, &setup)
    };
    let one = |field, message: String| vec![FieldError { field, message }];
    if !partner::setup_token_is_valid(&portal.db, &form.token).await? {
        return again(one(
            "token",
            "Paste the token that the server printed on its console.".into(),
        ));
    }
    let hash = match password::hash(&form.password, &[&form.email, &form.partner]).await {
        Ok(hash) => hash,
        Err(message) => return again(one("password", message)),
    };
    let keyring = &portal.consent.connection.keyring;
    let made = partner::set_up(
        &portal.db,
        keyring,
        &form.token,
        &form.partner,
        &form.email,
        &hash,
    )
    .await;
    match made {
        Ok((partner, member)) => {
            let entry = Entry {
                member,
                partner,
                method: SignInMethod::Password,
                provider: None,
            };
            enter_partner(&request, &portal, entry, "/").await
        }
        Err(model::Error::Invalid(errors)) => again(errors),
        Err(model::Error::Conflict(message)) => again(one("token", message)),
        Err(other) => Err(PageProblem::from(other)),
    }
}
