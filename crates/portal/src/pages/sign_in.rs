//! Sign-in with a password, and sign-out.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{member, partner, session};
use serde::Deserialize;

use super::setup::{signed_in, user_agent};
use crate::{
    Portal,
    guard::{self, Signed, safe_next},
    password,
    view::{Answer, Bare, filters, html_status, see_other},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    bare: Bare,
    email: String,
    next: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Query<Form>,
) -> Answer {
    if partner::count(&portal.db).await? == 0 {
        return Ok(see_other("/setup"));
    }
    let page = SignIn {
        bare: Bare::new(&request, &portal),
        email: form.email.clone(),
        next: safe_next(&form.next).to_owned(),
        error: None,
    };
    html_status(StatusCode::OK, &page)
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Form<Form>,
) -> Answer {
    let form = form.into_inner();
    let address = guard::address(&request);
    let again = |status, error: String| {
        let page = SignIn {
            bare: Bare::new(&request, &portal),
            email: form.email.clone(),
            next: safe_next(&form.next).to_owned(),
            error: Some(error),
        };
        html_status(status, &page)
    };
    let mut subjects = vec![format!(
        "account {}",
        keys::fingerprint(&form.email.trim().to_lowercase())
    )];
    // Behind a proxy every visitor has the proxy's address: counting it would lock everybody out.
    if !portal.is_secure() {
        subjects.push(format!("address {address}"));
    }
    if let Some(seconds) = session::sign_in_begins(&portal.db, &subjects).await? {
        let minutes = seconds / 60 + 1;
        return again(
            StatusCode::TOO_MANY_REQUESTS,
            format!("Too many attempts. Try again in {minutes} minutes."),
        );
    }
    let member = member::by_email(&portal.db, &form.email).await?;
    let stored = member.as_ref().and_then(|m| m.password_hash.clone());
    let matches = password::verify(&form.password, stored).await;
    let membership = match (&member, matches) {
        (Some(member), true) => member::memberships(&portal.db, member.id)
            .await?
            .into_iter()
            .next(),
        _ => None,
    };
    let (Some(member), Some(membership)) = (member, membership) else {
        return again(
            StatusCode::UNPROCESSABLE_ENTITY,
            "This e-mail address and password do not belong together.".into(),
        );
    };
    session::sign_in_succeeded(&portal.db, &subjects).await?;
    let agent = user_agent(&request);
    let token = session::begin(
        &portal.db,
        member.id,
        membership.partner_id,
        &agent,
        &address,
    )
    .await?;
    Ok(signed_in(&portal, token, safe_next(&form.next)))
}

pub(crate) async fn delete(portal: web::Data<Portal>, principal: Signed) -> Answer {
    session::end(&principal).await?;
    let mut response = see_other("/sign-in");
    let gone = guard::no_cookie(&portal, guard::session_cookie_name(&portal));
    let _ = response.add_cookie(&gone);
    Ok(response)
}
