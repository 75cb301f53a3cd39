//! After a password that was right: a code of the authenticator app, a passkey, or a code that was
//! written down.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use model::{Member, MemberId, SignInMethod, member, passkey, recovery_code, sign_in, totp};
use serde::Deserialize;

use super::sign_in::{enter, too_many};
use crate::{
    Portal,
    cookie::Name,
    guard::safe_next,
    passkey::{Answered, Question, answer, ask_owner},
    problem::PageProblem,
    view::{Answer, Bare, filters, html_status, see_other},
};

/// The kind of the step in which the password was right.
const STEP: &str = "second factor";

#[derive(Template)]
#[template(path = "sign_in/second_factor.html")]
struct SecondFactor {
    bare: Bare,
    has_app: bool,
    question: Option<Question>,
    error: Option<String>,
}

/// Whether the member has one.
pub(crate) async fn is_needed(portal: &Portal, member: MemberId) -> Result<bool, PageProblem> {
    Ok(totp::is_confirmed(&portal.db, member).await?
        || !passkey::list(&portal.db, member).await?.is_empty())
}

/// Goes on to the second factor.
pub(super) async fn begin(portal: &Portal, member: MemberId, next: &str) -> Answer {
    let token = sign_in::begin_step(&portal.db, STEP, Some(member), next).await?;
    let mut response = see_other("/sign-in/second-factor");
    let _ = response.add_cookie(&Name::SecondFactor.with(portal, token));
    Ok(response)
}

/// Who is on their way, and where to.
async fn begun(
    request: &HttpRequest,
    portal: &Portal,
) -> Result<Option<(Member, String)>, PageProblem> {
    let Some(token) = Name::SecondFactor.of(portal, request) else {
        return Ok(None);
    };
    let Some(step) = sign_in::step(&portal.db, STEP, &token).await? else {
        return Ok(None);
    };
    let Some(id) = step.member else {
        return Ok(None);
    };
    let member = member::get(&portal.db, id).await?;
    Ok(member.map(|member| (member, step.state.to_string())))
}

pub(crate) async fn new(request: HttpRequest, portal: web::Data<Portal>) -> Answer {
    match begun(&request, &portal).await? {
        Some((member, _)) => page(&request, &portal, member.id, StatusCode::OK, None).await,
        None => Ok(see_other("/sign-in")),
    }
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    member: MemberId,
    status: StatusCode,
    error: Option<String>,
) -> Answer {
    let (question, cookie) = ask_owner(portal, member).await?;
    let page = SecondFactor {
        bare: Bare::new(request, portal),
        has_app: totp::is_confirmed(&portal.db, member).await?,
        question,
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
    code: String,
    #[serde(default)]
    recovery_code: String,
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Form<Form>,
) -> Answer {
    let Some((member, next)) = begun(&request, &portal).await? else {
        return Ok(see_other("/sign-in"));
    };
    let (used, method) = match check(&portal, &member, &form.code, &form.recovery_code).await? {
        Checked::Right(method) => (true, method),
        Checked::Wrong => (false, SignInMethod::Totp),
        Checked::TooMany(error) => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return page(&request, &portal, member.id, status, Some(error)).await;
        }
    };
    if !used {
        let error = match form.recovery_code.is_empty() {
            true => "This is not the app's present code, or it was used already.",
            false => "This is not one of your recovery codes, or it was used already.",
        };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return page(&request, &portal, member.id, status, Some(error.into())).await;
    }
    finish(&request, &portal, &member, method, &next).await
}

/// What became of a code.
pub(super) enum Checked {
    Right(SignInMethod),
    Wrong,
    TooMany(String),
}

/// Counts an attempt, then checks a code of the app or one that was written down.
pub(super) async fn check(
    portal: &Portal,
    member: &Member,
    code: &str,
    recovery: &str,
) -> Result<Checked, PageProblem> {
    let subjects = [format!("second factor {}", member.id)];
    if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
        return Ok(Checked::TooMany(too_many(seconds)));
    }
    let keyring = &portal.consent.connection.keyring;
    let (right, method) = if recovery.trim().is_empty() {
        let right = totp::verify(&portal.db, keyring, member.id, code).await?;
        (right, SignInMethod::Totp)
    } else {
        let right = recovery_code::redeem(&portal.db, member.id, recovery).await?;
        (right, SignInMethod::RecoveryCode)
    };
    if !right {
        // Whoever gets here knows the password.
        tracing::warn!(member = %member.id, "a second factor was wrong");
        return Ok(Checked::Wrong);
    }
    sign_in::succeeded(&portal.db, &subjects).await?;
    Ok(Checked::Right(method))
}

pub(crate) async fn with_passkey(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Form<Answered>,
) -> Answer {
    let Some((member, next)) = begun(&request, &portal).await? else {
        return Ok(see_other("/sign-in"));
    };
    match answer(&request, &portal, &form).await? {
        Some(answered) if answered.id == member.id => {
            finish(&request, &portal, &member, SignInMethod::Passkey, &next).await
        }
        _ => {
            let error = Some("This passkey was not accepted. Try again.".to_owned());
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            page(&request, &portal, member.id, status, error).await
        }
    }
}

/// The step ends with the session's beginning: of two who end it at once, one gets in.
async fn finish(
    request: &HttpRequest,
    portal: &Portal,
    member: &Member,
    method: SignInMethod,
    next: &str,
) -> Answer {
    let token = Name::SecondFactor.of(portal, request).unwrap_or_default();
    if sign_in::take_step(&portal.db, STEP, &token)
        .await?
        .is_none()
    {
        return Ok(see_other("/sign-in"));
    }
    enter(request, portal, member, method, safe_next(next)).await
}
