//! The proof that is asked for before something that matters.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{SignInMethod, held_form, session, sign_in, sign_in_provider, totp};
use serde::Deserialize;

use super::{
    credentials::with_sign_in,
    second_factor::{Checked, check},
    sign_in::{too_many, with_session},
};
use crate::{
    Portal,
    cookie::Name,
    guard::{Signed, safe_next},
    passkey::{Answered, Question, answer, ask_owner},
    password,
    proof::encoded,
    view::{Answer, Page, filters, html, html_status},
};

#[derive(Template)]
#[template(path = "account/prove.html")]
struct Prove {
    page: Page,
    has_password: bool,
    /// A code is asked for together with the password.
    with_password: bool,
    has_app: bool,
    question: Option<Question>,
    /// A provider that signs the person in, by its id, and its name.
    provider: Option<(String, String)>,
    goal: String,
    passkey_action: String,
    error: Option<String>,
}

/// Where to after the proof: a page, or a form that waits.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Goal {
    #[serde(default)]
    next: String,
    #[serde(default)]
    held: String,
}

impl Goal {
    fn query(&self) -> String {
        match self.held.is_empty() {
            true => format!("next={}", encoded(safe_next(&self.next))),
            false => format!("held={}", encoded(&self.held)),
        }
    }
}

pub(crate) async fn new(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    goal: web::Query<Goal>,
) -> Answer {
    page(&request, &portal, &principal, &goal, StatusCode::OK, None).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    goal: &Goal,
    status: StatusCode,
    error: Option<String>,
) -> Answer {
    let member = principal.member.id;
    let has_app = totp::is_confirmed(&portal.db, member).await?;
    let (question, cookie) = ask_owner(portal, member).await?;
    let mut provider = None;
    if let Some(id) = principal.session.as_ref().and_then(|s| s.provider_id)
        && let Some(found) = sign_in_provider::get(&portal.db, id).await?
    {
        provider = Some((id.to_string(), found.name));
    }
    let page = Prove {
        page: Page::new(
            request,
            portal,
            principal,
            "Confirm that it is you",
            "account",
        )
        .await?,
        // The password alone would be less than what they signed in with.
        has_password: principal.member.password_hash.is_some() && !has_app && question.is_none(),
        with_password: principal.member.password_hash.is_some(),
        has_app,
        question,
        provider,
        passkey_action: format!("/prove/passkey?{}", goal.query()),
        goal: goal.query(),
        error,
    };
    let mut response = html_status(status, &page)?;
    if let Some(cookie) = cookie {
        let _ = response.add_cookie(&cookie);
    }
    Ok(response)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    recovery_code: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    goal: web::Query<Goal>,
    form: web::Form<Form>,
) -> Answer {
    let again = |status, error: String| {
        let (request, portal, principal, goal) = (&request, &portal, &principal, &goal);
        async move { page(request, portal, principal, goal, status, Some(error)).await }
    };
    let member = &principal.member;
    let needs_factor = super::second_factor::is_needed(&portal, member.id).await?;
    // Whoever has a password and a second factor proves with both: neither a stolen password nor a lost
    // telephone is enough for what matters. A passkey is both at once.
    let needs_password = member.password_hash.is_some();
    if needs_factor && needs_password {
        let subjects = [format!("proof {}", member.id)];
        if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
            return again(StatusCode::TOO_MANY_REQUESTS, too_many(seconds)).await;
        }
        if !password::verify(&form.password, member.password_hash.clone()).await {
            tracing::warn!(member = %member.id, "a password for a proof was wrong");
            let error = "This is not your password, or not a code that counts now.";
            return again(StatusCode::UNPROCESSABLE_ENTITY, error.into()).await;
        }
        sign_in::succeeded(&portal.db, &subjects).await?;
    }
    if needs_factor {
        return match check(&portal, member, &form.code, &form.recovery_code).await? {
            Checked::Right(method) => proved(&request, &portal, &principal, &goal, method).await,
            Checked::Wrong => {
                let error = match needs_password {
                    true => "This is not your password, or not a code that counts now.",
                    false => "This is not a code that counts now. Each counts once.",
                };
                again(StatusCode::UNPROCESSABLE_ENTITY, error.into()).await
            }
            Checked::TooMany(error) => again(StatusCode::TOO_MANY_REQUESTS, error).await,
        };
    }
    // A stolen session must not guess the password.
    let subjects = [format!("proof {}", member.id)];
    if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
        return again(StatusCode::TOO_MANY_REQUESTS, too_many(seconds)).await;
    }
    if !password::verify(&form.password, member.password_hash.clone()).await {
        tracing::warn!(member = %member.id, "a password for a proof was wrong");
        let error = "This is not your password.";
        return again(StatusCode::UNPROCESSABLE_ENTITY, error.into()).await;
    }
    sign_in::succeeded(&portal.db, &subjects).await?;
    proved(&request, &portal, &principal, &goal, SignInMethod::Password).await
}

pub(crate) async fn with_passkey(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    goal: web::Query<Goal>,
    form: web::Form<Answered>,
) -> Answer {
    match answer(&request, &portal, &form).await? {
        Some(member) if member.id == principal.member.id => {
            proved(&request, &portal, &principal, &goal, SignInMethod::Passkey).await
        }
        _ => {
            let error = Some("This passkey was not accepted. Try again.".to_owned());
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            page(&request, &portal, &principal, &goal, status, error).await
        }
    }
}

#[derive(Template)]
#[template(path = "account/go_on.html")]
struct GoOn {
    page: Page,
    action: String,
}

/// Notes the proof and goes on: to the page, or with the form that waited.
pub(super) async fn proved(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    goal: &Goal,
    method: SignInMethod,
) -> Answer {
    let path = match goal.held.is_empty() {
        true => None,
        false => held_form::path(principal, &goal.held).await?,
    };
    let token = session::prove(principal, method).await?;
    let Some(path) = path else {
        return Ok(with_session(portal, token, safe_next(&goal.next)));
    };
    let mark = if path.contains('?') { '&' } else { '?' };
    let go_on = GoOn {
        page: Page::new(request, portal, principal, "One moment", "account").await?,
        action: format!("{}{mark}held={}", safe_next(&path), encoded(&goal.held)),
    };
    // What goes on may lead to Microsoft, as the form that was held would have.
    let mut response = with_sign_in(portal, html(&go_on))?;
    let _ = response.add_cookie(&Name::Session.with(portal, token));
    Ok(response)
}

impl Goal {
    /// A page to go on to.
    pub(super) fn page(next: &str) -> Self {
        Self {
            next: next.to_owned(),
            held: String::new(),
        }
    }
}
