//! Sign-in with a password, and sign-out.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use askama::Template;
use model::{
    Member, MemberId, PartnerId, SignInMethod, SignInProvider, SignInProviderId, member, partner,
    session, sign_in, sign_in_provider,
};
use serde::Deserialize;

use crate::{
    Portal,
    address::{self, address},
    cookie::Name,
    guard::{Signed, safe_next},
    password,
    problem::PageProblem,
    proof::encoded,
    view::{Answer, Bare, filters, html_status, see_other},
};

#[derive(Template)]
#[template(path = "sign_in/password.html")]
struct SignIn {
    bare: Bare,
    email: String,
    next: String,
    /// The same, percent-encoded, for links.
    next_encoded: String,
    error: Option<String>,
    has_passkeys: bool,
    providers: Vec<SignInProvider>,
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
    page(&request, &portal, &form, StatusCode::OK, None).await
}

async fn page(
    request: &HttpRequest,
    portal: &Portal,
    form: &Form,
    status: StatusCode,
    error: Option<String>,
) -> Answer {
    let page = SignIn {
        bare: Bare::new(request, portal),
        email: form.email.clone(),
        next: safe_next(&form.next).to_owned(),
        next_encoded: encoded(safe_next(&form.next)),
        error,
        has_passkeys: portal.relying_party().is_some(),
        providers: sign_in_provider::listed(&portal.db).await?,
    };
    html_status(status, &page)
}

/// What attempts are counted against.
pub(super) fn subjects(request: &HttpRequest, portal: &Portal, account: &str) -> Vec<String> {
    let mut subjects = vec![sign_in::account_subject(account)];
    if address::tells_apart(portal) {
        subjects.push(format!("address {}", address(portal, request)));
    }
    subjects
}

/// Counts a sign-in that a stranger begins: each writes a row, and one at a provider asks that as well.
pub(super) async fn count_begin(request: &HttpRequest, portal: &Portal) -> Result<(), PageProblem> {
    if !address::tells_apart(portal) {
        return Ok(());
    }
    let subject = [format!("begins {}", address(portal, request))];
    match sign_in::attempt(&portal.db, &subject).await? {
        None => Ok(()),
        Some(seconds) => Err(PageProblem::TooMany(seconds)),
    }
}

/// What is said to somebody who tried too often.
pub(super) fn too_many(seconds: i64) -> String {
    format!(
        "Too many attempts. Try again in {} minutes.",
        seconds / 60 + 1
    )
}

pub(crate) async fn create(
    request: HttpRequest,
    portal: web::Data<Portal>,
    form: web::Form<Form>,
) -> Answer {
    let subjects = subjects(&request, &portal, &form.email);
    if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut answer = page(&request, &portal, &form, status, Some(too_many(seconds))).await?;
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
        return Ok(answer);
    }
    let member = member::by_email(&portal.db, &form.email).await?;
    let stored = member.as_ref().and_then(|m| m.password_hash.clone());
    let matches = password::verify(&form.password, stored).await;
    let member = match member.filter(|_| matches) {
        Some(member) if !member::memberships(&portal.db, member.id).await?.is_empty() => member,
        _ => {
            let (account, address) = (&subjects[0], address(&portal, &request));
            tracing::warn!(account, address, "a sign-in was refused");
            let error = "This e-mail address and password do not belong together.".to_owned();
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return page(&request, &portal, &form, status, Some(error)).await;
        }
    };
    sign_in::succeeded(&portal.db, &subjects).await?;
    if super::second_factor::is_needed(&portal, member.id).await? {
        return super::second_factor::begin(&portal, member.id, safe_next(&form.next)).await;
    }
    let method = SignInMethod::Password;
    enter(&request, &portal, &member, method, safe_next(&form.next)).await
}

/// Signs a member in with the first of their partners, and on to a page.
pub(super) async fn enter(
    request: &HttpRequest,
    portal: &Portal,
    member: &Member,
    method: SignInMethod,
    next: &str,
) -> Answer {
    let memberships = member::memberships(&portal.db, member.id).await?;
    let Some(first) = memberships.first() else {
        return Err(PageProblem::Conflict(
            "You are a member of no organisation any more. Ask an owner to invite you.".into(),
        ));
    };
    let entry = Entry {
        member: member.id,
        partner: first.partner_id,
        method,
        provider: None,
    };
    enter_partner(request, portal, entry, next).await
}

/// Who enters where, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) member: MemberId,
    pub(super) partner: PartnerId,
    pub(super) method: SignInMethod,
    pub(super) provider: Option<SignInProviderId>,
}

/// Signs a member in with a partner, and on to a page.
pub(super) async fn enter_partner(
    request: &HttpRequest,
    portal: &Portal,
    entry: Entry,
    next: &str,
) -> Answer {
    let (user_agent, address) = (user_agent(request), address(portal, request));
    let begin = session::Begin {
        member: entry.member,
        partner: entry.partner,
        method: entry.method,
        provider: entry.provider,
        user_agent: &user_agent,
        address: &address,
    };
    let token = session::begin(&portal.db, begin.clone()).await?;
    // Who signs in again is done with the session that the browser had.
    if let Some(before) = Name::Session.of(portal, request)
        && let Some(before) = session::resume(&portal.db, &before, begin.address).await?
    {
        session::end(&before).await?;
    }
    Ok(with_session(portal, token, next))
}

/// On to a page, with the session's cookie; what was begun on the way is forgotten.
pub(super) fn with_session(portal: &Portal, token: String, next: &str) -> HttpResponse {
    let mut response = see_other(next);
    // Cookies of our own making always fit a header.
    let _ = response.add_cookie(&Name::Session.with(portal, token));
    let _ = response.add_cookie(&Name::SecondFactor.gone(portal));
    response
}

pub(super) fn user_agent(request: &HttpRequest) -> String {
    request
        .headers()
        .get("user-agent")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

pub(crate) async fn delete(portal: web::Data<Portal>, principal: Signed) -> Answer {
    session::end(&principal).await?;
    let mut response = see_other("/sign-in");
    let _ = response.add_cookie(&Name::Session.gone(&portal));
    // What the browser may still hold of pages; its cookies of theme and density stay.
    let value = header::HeaderValue::from_static("\"cache\", \"storage\"");
    let name = header::HeaderName::from_static("clear-site-data");
    response.headers_mut().insert(name, value);
    Ok(response)
}
