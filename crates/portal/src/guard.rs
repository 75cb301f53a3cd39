//! Before any handler: headers, where the request came from, who sends it, and whether they may.

use std::{panic::AssertUnwindSafe, time::Duration};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{Method, StatusCode, header},
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use model::{SignInMethod, api_token, session, session::Principal};

use crate::{
    Portal,
    address::{address, is_past_proxy},
    cookie,
    pace::{Left, Pace},
    pages,
    problem::{ApiProblem, PageProblem},
    proof, refused,
    routes::{self, Access},
};

/// Who sent the request; handlers of guarded routes take it.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) Principal);

impl std::ops::Deref for Signed {
    type Target = Principal;
    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl FromRequest for Signed {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<Self>().cloned();
        // A guarded handler behind a public route would be a defect: it answers 404 then.
        std::future::ready(found.ok_or_else(|| PageProblem::NotFound.into()))
    }
}

/// Everything from our own origin, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Of what a browser can do beside showing pages, passkeys are all that is used.
const FEATURES: &str = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), \
    publickey-credentials-get=(self), publickey-credentials-create=(self)";

/// The policy, with the sign-in hosts that a form may lead on to: browsers apply `form-action` to
/// redirects after a form as well.
pub(crate) fn policy_with_sign_in(portal: &Portal) -> String {
    let mut policy = POLICY.to_owned();
    for cloud in portal.consent.connection.clouds.all() {
        policy.push(' ');
        policy.push_str(&cloud.login.origin().ascii_serialization());
    }
    policy
}

pub(crate) async fn guard(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let pattern = request.match_pattern().unwrap_or_default();
    let access = routes::access(request.method(), &pattern);
    let is_static = pattern.starts_with("/static/");
    let is_secure = request
        .app_data::<web::Data<Portal>>()
        .is_some_and(|portal| portal.is_secure());
    let mut response = match admit(&mut request, access).await {
        Ok(()) => match ended(next.call(request)).await {
            Ok(answer) => answer?.map_into_left_body(),
            Err(why) => {
                let mut answer = why.answer(access);
                dress(answer.headers_mut(), is_static, is_secure);
                return Err(InternalError::from_response(why.text(), answer).into());
            }
        },
        Err(refusal) => request.into_response(refusal).map_into_right_body(),
    };
    if matches!(access, Some(Access::Api(_))) {
        let left = response.request().extensions().get::<Left>().copied();
        if let Some(left) = left {
            left.say(response.headers_mut());
        }
    }
    refused::note(response.request(), access, response.status());
    dress(response.headers_mut(), is_static, is_secure);
    Ok(response)
}

/// Why a handler did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unended {
    /// The hook of the process has logged where.
    Panicked,
    TooLong,
}

/// A request is read and answered within this time; what is streamed may take longer. Slow bodies are
/// given up by it.
const LONGEST: Duration = Duration::from_secs(120);

/// What a handler answers, unless it panicked or took too long.
async fn ended<T>(answer: impl Future<Output = T>) -> Result<T, Unended> {
    let caught = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(LONGEST, caught).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Unended::Panicked),
        Err(_) => Err(Unended::TooLong),
    }
}

impl Unended {
    fn text(self) -> &'static str {
        match self {
            Self::Panicked => "a handler panicked",
            Self::TooLong => "a request took more than two minutes",
        }
    }

    fn answer(self, access: Option<Access>) -> HttpResponse {
        use actix_web::ResponseError;
        if self == Self::TooLong {
            return HttpResponse::RequestTimeout()
                .content_type("text/plain; charset=utf-8")
                .body("This took more than two minutes, and was given up.\n");
        }
        let inner = self.text().to_owned();
        match access {
            Some(Access::Api(_)) => ApiProblem::Inner(inner).error_response(),
            _ => PageProblem::Inner(inner).error_response(),
        }
    }
}

/// The headers that every answer has.
fn dress(headers: &mut header::HeaderMap, is_static: bool, is_secure: bool) {
    let mut set = |name: header::HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", FEATURES),
    ] {
        set(header::HeaderName::from_static(name), value);
    }
    if is_secure {
        // Two years, as browsers' own lists ask for.
        set(
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=63072000; includeSubDomains",
        );
    }
    if !is_static {
        set(header::CACHE_CONTROL, "no-store");
    }
}

/// Lets the request through, or answers it.
async fn admit(request: &mut ServiceRequest, access: Option<Access>) -> Result<(), HttpResponse> {
    use actix_web::ResponseError;
    let Some(portal) = request.app_data::<web::Data<Portal>>().cloned() else {
        return Err(HttpResponse::InternalServerError().finish());
    };
    if is_past_proxy(&portal, request.request()) && request.path() != "/healthz" {
        let text = format!(
            "Nothing is answered without TLS here. Ask {}\n",
            portal.public_url
        );
        return Err(HttpResponse::build(StatusCode::MISDIRECTED_REQUEST)
            .content_type("text/plain; charset=utf-8")
            .body(text));
    }
    let unsafe_method = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    match access {
        None => Ok(()),
        Some(Access::Public) if unsafe_method => same_origin(request),
        Some(Access::Public) => {
            // Pages that anybody may see still know who looks, for their frame.
            if let Ok(Some(principal)) = signed_in(request, &portal).await {
                request.extensions_mut().insert(Signed(principal));
            }
            Ok(())
        }
        Some(access @ (Access::Page(least) | Access::Proved(least))) => {
            if unsafe_method {
                same_origin(request)?;
            }
            let principal = signed_in(request, &portal)
                .await
                .map_err(|e| PageProblem::from(e).error_response())?;
            let Some(principal) = principal else {
                return Err(to_sign_in(request));
            };
            request.extensions_mut().insert(Signed(principal.clone()));
            count(request, &principal)
                .map_err(|seconds| PageProblem::TooMany(seconds).error_response())?;
            principal
                .scope
                .require(least)
                .map_err(|e| PageProblem::from(e).error_response())?;
            enrol_first(request, &portal, &principal).await?;
            if matches!(access, Access::Proved(_)) {
                proof::check(request, &portal, &principal).await?;
            }
            Ok(())
        }
        Some(Access::Api(least)) => {
            let principal = bearer(request, &portal)
                .await
                .map_err(|e| ApiProblem::from(e).error_response())?;
            let Some(principal) = principal else {
                return Err(ApiProblem::Unauthorised.error_response());
            };
            request.extensions_mut().insert(Signed(principal.clone()));
            count(request, &principal)
                .map_err(|seconds| ApiProblem::TooMany(seconds).error_response())?;
            principal
                .scope
                .require(least)
                .map_err(|e| ApiProblem::from(e).error_response())?;
            Ok(())
        }
    }
}

/// Counts a request of somebody who is known; what is left is said with the answer.
fn count(request: &ServiceRequest, principal: &Principal) -> Result<(), i64> {
    let Some(pace) = request.app_data::<web::Data<Pace>>() else {
        return Ok(());
    };
    let left = pace.count(principal, request.path())?;
    request.extensions_mut().insert(left);
    Ok(())
}

/// Where somebody may go who must have a second factor first: to make one, and out.
const ENROLMENT: [&str; 5] = [
    "/account",
    "/account/authenticator-app",
    "/account/passkeys",
    "/account/passkeys/new",
    "/sign-out",
];

/// Whoever signed in with a password alone, in an organisation that wants more, makes a second factor
/// before anything else.
async fn enrol_first(
    request: &ServiceRequest,
    portal: &Portal,
    principal: &Principal,
) -> Result<(), HttpResponse> {
    use actix_web::ResponseError;
    let with_password = principal
        .session
        .as_ref()
        .is_some_and(|session| session.method == SignInMethod::Password);
    let path = request.path();
    if !with_password || ENROLMENT.contains(&path) || path.starts_with("/prove") {
        return Ok(());
    }
    let failed = |e: model::Error| PageProblem::from(e).error_response();
    let partner = principal.scope.partner();
    if !model::partner::requires_factor(&portal.db, partner)
        .await
        .map_err(failed)?
    {
        return Ok(());
    }
    match pages::second_factor::is_needed(portal, principal.member.id).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "/account?done=factor"))
            .finish()),
        Err(problem) => Err(problem.error_response()),
    }
}

async fn signed_in(request: &ServiceRequest, portal: &Portal) -> model::Result<Option<Principal>> {
    let request = request.request();
    match cookie::Name::Session.of(portal, request) {
        None => Ok(None),
        Some(token) => session::resume(&portal.db, &token, &address(portal, request)).await,
    }
}

async fn bearer(request: &ServiceRequest, portal: &Portal) -> model::Result<Option<Principal>> {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned());
    match token {
        None => Ok(None),
        Some(token) => {
            api_token::authenticate(&portal.db, &token, &address(portal, request.request())).await
        }
    }
}

/// Whether a person followed a link of our own pages, or typed the address; browsers that say nothing
/// are believed.
pub(crate) fn is_from_here(request: &HttpRequest) -> bool {
    let site = request.headers().get("sec-fetch-site");
    site.is_none_or(|site| site == "same-origin" || site == "none")
}

/// A form of another site is refused: the browser says where the request comes from.
fn same_origin(request: &ServiceRequest) -> Result<(), HttpResponse> {
    use actix_web::ResponseError;
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let ours = match (header("sec-fetch-site"), header("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = header("host").unwrap_or_default();
            origin == format!("http://{host}") || origin == format!("https://{host}")
        }
        (None, None) => false,
    };
    if ours {
        Ok(())
    } else {
        Err(PageProblem::OtherSite.error_response())
    }
}

/// To the sign-in page, and back afterwards where that makes sense.
fn to_sign_in(request: &ServiceRequest) -> HttpResponse {
    let mut location = "/sign-in".to_owned();
    if *request.method() == Method::GET
        && let Some(path) = request.uri().path_and_query()
        && path.as_str() != "/"
    {
        let next: String = url::form_urlencoded::byte_serialize(path.as_str().as_bytes()).collect();
        location = format!("/sign-in?next={next}");
    }
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .finish()
}

/// Longer paths have no page here that anybody would come back to.
const LONGEST_NEXT: usize = 2000;

/// A path of our own to go to after sign-in; anything else becomes the dashboard.
pub(crate) fn safe_next(next: &str) -> &str {
    let ours = next.len() <= LONGEST_NEXT
        && next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n', '\t'])
        && !next.chars().any(char::is_control);
    if ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_panic_is_answered_like_any_error() {
        let panics = ended(async { "no number".parse::<u8>().unwrap() }).await;
        assert_eq!(panics, Err(Unended::Panicked));
        assert_eq!(ended(async { 7 }).await, Ok(7));
        for (access, kind) in [
            (
                Some(Access::Api(model::Role::Viewer)),
                "application/problem+json",
            ),
            (
                Some(Access::Page(model::Role::Viewer)),
                "text/html; charset=utf-8",
            ),
        ] {
            let answer = Unended::Panicked.answer(access);
            assert_eq!(answer.status(), 500);
            assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), kind);
        }
    }

    #[test]
    fn only_paths_of_our_own_are_followed() {
        assert_eq!(safe_next("/jobs?state=failed"), "/jobs?state=failed");
        for bad in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "",
            "jobs",
            "/\t/evil",
            "javascript:alert(1)",
            &format!("/{}", "x".repeat(2000)),
        ] {
            assert_eq!(safe_next(bad), "/", "{bad}");
        }
    }
}
