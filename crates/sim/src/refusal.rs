//! Answers that refuse, in Microsoft's words.

use actix_web::{HttpResponse, http::StatusCode};
use chrono::Duration;
use serde_json::json;

use crate::{Kind, body::Broken, data};

pub(crate) fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let id = uuid::Uuid::from_u64_pair(u64::from(status), 1);
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or_default())
        .insert_header(("request-id", id.to_string()))
        .json(
            json!({ "error": { "code": code, "message": message, "innerError": {
            "date": "2026-11-20T10:00:00", "request-id": id, "client-request-id": id } } }),
        )
}

pub(crate) fn unauthorised() -> HttpResponse {
    error(
        401,
        "InvalidAuthenticationToken",
        "Access token is empty or invalid.",
    )
}

pub(crate) fn forbidden() -> HttpResponse {
    error(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

pub(crate) fn not_premium() -> HttpResponse {
    error(
        403,
        "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
        "Neither tenant is B2C or tenant doesn't have premium license",
    )
}

pub(crate) fn not_found(id: &str) -> HttpResponse {
    error(
        404,
        "Request_ResourceNotFound",
        &format!(
            "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
        ),
    )
}

pub(crate) fn no_segment(path: &str) -> HttpResponse {
    error(
        400,
        "BadRequest",
        &format!("Resource not found for the segment '{path}'."),
    )
}

pub(crate) fn bad_request(message: &str) -> HttpResponse {
    error(400, "Request_BadRequest", message)
}

/// 429 with what it says about waiting, if anything.
pub(crate) fn throttled(retry_after: Option<&str>) -> HttpResponse {
    let mut answer = HttpResponse::TooManyRequests();
    if let Some(value) = retry_after {
        answer.insert_header(("retry-after", value));
    }
    answer.json(json!({ "error": { "code": "TooManyRequests", "message": "Too many requests." } }))
}

/// An HTTP date so many seconds from now.
fn http_date(seconds: u64) -> String {
    let at = data::now() + Duration::seconds(i64::try_from(seconds).unwrap_or(0));
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The answer of a fault that answers instead of Graph; the others only spoil Graph's answer.
pub(crate) fn of_fault(fault: &Kind, root: &str, path: &str) -> Option<HttpResponse> {
    Some(match fault {
        Kind::Error { status, code } => error(*status, code, "simulated fault"),
        Kind::Throttle { seconds } => throttled(Some(&seconds.to_string())),
        Kind::ThrottleUntil { seconds } => throttled(Some(&http_date(*seconds))),
        Kind::ThrottleSilent => throttled(None),
        Kind::ThrottleAbsurd => throttled(Some("1e9")),
        Kind::Html => HttpResponse::Ok()
            .content_type("text/html")
            .body("<html><body>Gateway</body></html>"),
        Kind::Redirect { status, to } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND);
            HttpResponse::build(status)
                .insert_header(("location", to.as_str()))
                .finish()
        }
        Kind::Gone => {
            let mut answer = error(410, "resyncRequired", "Resync required.");
            if let Ok(location) = format!("{root}{path}?$deltatoken=").parse() {
                answer
                    .headers_mut()
                    .insert(actix_web::http::header::LOCATION, location);
            }
            answer
        }
        Kind::Reset => HttpResponse::Ok().body(Broken),
        Kind::Slow { .. }
        | Kind::Dribble { .. }
        | Kind::HalfBody
        | Kind::NextLink { .. }
        | Kind::DeltaLink { .. }
        | Kind::LoopingLink
        | Kind::EndlessLinks
        | Kind::Repeat => return None,
    })
}
