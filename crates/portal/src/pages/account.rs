//! The person's own account: password, second factors, passkeys, sessions, tokens, organisations.

use actix_web::{HttpRequest, http::StatusCode, web};
use askama::Template;
use keys::Secret;
use model::{
    ApiToken, FieldError, PartnerId, Passkey, Role, Session, SessionId, SignInMethod,
    SignInProvider, api_token, passkey, recovery_code, session, sign_in, sign_in_provider,
    sign_in_provider::Linked, totp,
};
use serde::Deserialize;

use super::{
    error_of,
    sign_in::{too_many, user_agent},
};
use crate::{
    Portal,
    cookie::Name,
    guard::Signed,
    password,
    problem::PageProblem,
    view::{Answer, Page, filters, html, html_status, see_other},
};

#[derive(Template)]
#[template(path = "account/show.html")]
struct Show {
    page: Page,
    done: &'static str,
    has_password: bool,
    has_app: bool,
    codes_left: i64,
    passkeys: Vec<Passkey>,
    has_passkeys: bool,
    linked: Vec<Linked>,
    providers: Vec<SignInProvider>,
    sessions: Vec<Session>,
    own: Option<SessionId>,
    tokens: Vec<ApiToken>,
    roles: Vec<Role>,
    /// Whether the session was begun by the organisation's own sign-in, which looks after the rest.
    is_bound: bool,
    typed: TokenForm,
    errors: Vec<FieldError>,
}

impl Show {
    fn error(&self, field: &str) -> Option<&str> {
        error_of(&self.errors, field)
    }

    fn is_own(&self, session: &Session) -> bool {
        self.own == Some(session.id)
    }
}

/// How somebody signed in, in words.
fn method_words(method: &SignInMethod) -> &'static str {
    match method {
        SignInMethod::Password => "Password",
        SignInMethod::Totp => "Password and authenticator app",
        SignInMethod::RecoveryCode => "Password and recovery code",
        SignInMethod::Passkey => "Passkey",
        SignInMethod::Provider => "Single sign-on",
    }
}

/// A browser by its name for itself: nothing more can be told from it.
fn browser(agent: &str) -> String {
    let name = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]
    .into_iter()
    .find_map(|(mark, name)| agent.contains(mark).then_some(name));
    let system = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]
    .into_iter()
    .find_map(|(mark, name)| agent.contains(mark).then_some(name));
    match (name, system) {
        (Some(name), Some(system)) => format!("{name} on {system}"),
        (Some(name), None) => name.to_owned(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) => "An unknown browser".to_owned(),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ShowQuery {
    #[serde(default)]
    done: String,
}

/// What was done just now.
fn done_words(done: &str) -> &'static str {
    match done {
        "password" => "Your password is changed. All your other sessions have ended.",
        "passkey" => "The passkey is added. All your other sessions have ended.",
        "passkey-removed" => "The passkey is removed. All your other sessions have ended.",
        "totp-removed" => "The authenticator app is removed. All your other sessions have ended.",
        "session" => "The session has ended.",
        "sessions" => "All your other sessions have ended.",
        "token" => "The API token is revoked.",
        "factor" => {
            "Your organisation wants a second factor of everybody. Set up a passkey or an authenticator \
             app here, and you can go on."
        }
        "linked" => "The account is linked: you can sign in with it.",
        "unlinked" => "The account is unlinked.",
        _ => "",
    }
}

pub(crate) async fn show(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    query: web::Query<ShowQuery>,
) -> Answer {
    let mut show = build(&request, &portal, &principal).await?;
    show.done = done_words(&query.done);
    html(&show)
}

async fn build(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
) -> Result<Show, PageProblem> {
    let db = &portal.db;
    let id = principal.member.id;
    let scope = &principal.scope;
    Ok(Show {
        page: Page::new(request, portal, principal, "Your account", "account").await?,
        done: "",
        has_password: principal.member.password_hash.is_some(),
        has_app: totp::is_confirmed(db, id).await?,
        codes_left: recovery_code::left(db, id).await?,
        passkeys: passkey::list(db, id).await?,
        has_passkeys: portal.relying_party().is_some(),
        linked: sign_in_provider::linked(principal).await?,
        providers: sign_in_provider::of_partner(db, scope.partner()).await?,
        sessions: session::list(principal).await?,
        own: principal.session.as_ref().map(|s| s.id),
        tokens: api_token::list(scope, id).await?,
        roles: Role::ALL
            .iter()
            .copied()
            .filter(|r| *r <= scope.role())
            .collect(),
        is_bound: principal.require_own_sign_in().is_err(),
        typed: TokenForm::default(),
        errors: vec![],
    })
}

async fn again(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    typed: TokenForm,
    errors: Vec<FieldError>,
) -> Answer {
    let mut show = build(request, portal, principal).await?;
    show.typed = typed;
    show.errors = errors;
    html_status(StatusCode::UNPROCESSABLE_ENTITY, &show)
}

#[derive(Debug, Deserialize)]
pub(crate) struct PasswordForm {
    #[serde(default)]
    current_password: String,
    #[serde(default)]
    new_password: String,
}

pub(crate) async fn change_password(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<PasswordForm>,
) -> Answer {
    let member = &principal.member;
    let wrong = |field, message: String| {
        let errors = vec![FieldError { field, message }];
        again(&request, &portal, &principal, TokenForm::default(), errors)
    };
    let subjects = [format!("proof {}", member.id)];
    if let Some(seconds) = sign_in::attempt(&portal.db, &subjects).await? {
        return wrong("current_password", too_many(seconds)).await;
    }
    let is_theirs = match &member.password_hash {
        Some(hash) => password::verify(&form.current_password, Some(hash.clone())).await,
        // Who never had one proved themselves otherwise just now.
        None => true,
    };
    if !is_theirs {
        tracing::warn!(member = %member.id, "a password for a change was wrong");
        return wrong(
            "current_password",
            "This is not your present password.".into(),
        )
        .await;
    }
    sign_in::succeeded(&portal.db, &subjects).await?;
    let hash = match password::hash(&form.new_password, &[&member.email]).await {
        Ok(hash) => hash,
        Err(message) => return wrong("new_password", message).await,
    };
    sign_in::change_password(&principal, &hash).await?;
    Ok(see_other("/account?done=password"))
}

#[derive(Template)]
#[template(path = "account/codes.html")]
struct Codes {
    page: Page,
    codes: Vec<Secret>,
}

/// Recovery codes, the one time that they are shown.
pub(super) async fn codes_page(
    request: &HttpRequest,
    portal: &Portal,
    principal: &Signed,
    codes: Vec<Secret>,
) -> Answer {
    html(&Codes {
        page: Page::new(request, portal, principal, "Recovery codes", "account")
            .await?
            .under("Your account", "/account"),
        codes,
    })
}

pub(crate) async fn renew_codes(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
) -> Answer {
    if !super::second_factor::is_needed(&portal, principal.member.id).await? {
        return Err(PageProblem::Conflict(
            "Recovery codes stand in for an authenticator app or a passkey. Set one up first."
                .into(),
        ));
    }
    let codes = recovery_code::renew(&principal).await?;
    codes_page(&request, &portal, &principal, codes).await
}

pub(crate) async fn revoke_session(principal: Signed, id: web::Path<SessionId>) -> Answer {
    match session::revoke(&principal, *id).await? {
        true => Ok(see_other("/account?done=session")),
        false => Err(PageProblem::NotFound),
    }
}

pub(crate) async fn revoke_sessions(principal: Signed) -> Answer {
    session::end_others(&principal).await?;
    Ok(see_other("/account?done=sessions"))
}

#[derive(Debug, Deserialize)]
pub(crate) struct SwitchForm {
    partner: PartnerId,
}

pub(crate) async fn switch(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<SwitchForm>,
) -> Answer {
    let token = session::switch(&principal, form.partner, &user_agent(&request)).await?;
    let token = token.ok_or(PageProblem::NotFound)?;
    let mut response = see_other("/");
    let _ = response.add_cookie(&Name::Session.with(&portal, token));
    Ok(response)
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct TokenForm {
    #[serde(default)]
    token_name: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    days: String,
}

#[derive(Template)]
#[template(path = "account/token.html")]
struct NewToken {
    page: Page,
    name: String,
    token: Secret,
}

pub(crate) async fn create_token(
    request: HttpRequest,
    portal: web::Data<Portal>,
    principal: Signed,
    form: web::Form<TokenForm>,
) -> Answer {
    let scope = &principal.scope;
    let role: Role = form.role.parse().unwrap_or(Role::Viewer);
    let expires_at = match form.days.as_str() {
        "" => None,
        days => Some(
            scope
                .now()
                .plus_minutes(days.parse::<i64>().unwrap_or(0).clamp(0, 36_500) * 24 * 60),
        ),
    };
    let made = api_token::create(
        scope,
        principal.member.id,
        &form.token_name,
        role,
        expires_at,
    )
    .await;
    let token = match made {
        Ok(token) => Secret::new(token),
        Err(model::Error::Invalid(mut errors)) => {
            for error in &mut errors {
                if error.field == "name" {
                    error.field = "token_name";
                }
            }
            return again(&request, &portal, &principal, form.into_inner(), errors).await;
        }
        Err(other) => return Err(other.into()),
    };
    html(&NewToken {
        page: Page::new(&request, &portal, &principal, "New API token", "account")
            .await?
            .under("Your account", "/account"),
        name: form.token_name.clone(),
        token,
    })
}

pub(crate) async fn revoke_token(principal: Signed, id: web::Path<model::ApiTokenId>) -> Answer {
    api_token::revoke(&principal.scope, *id)
        .await?
        .ok_or(PageProblem::NotFound)?;
    Ok(see_other("/account?done=token"))
}
