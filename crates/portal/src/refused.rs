//! What was refused, to whom: one line in the log for each, because somebody may be trying doors.

use actix_web::{HttpMessage, HttpRequest, http::StatusCode, web};

use crate::{Portal, address::address, guard::Signed, routes::Access};

/// Notes an answer that refuses. Who is signed in and still refused stands out (`warn`); strangers are
/// many (`info`). A path is written where only who is known may ask for it, and the route alone
/// elsewhere: paths of strangers may hold the token of an invitation or of a link.
pub(crate) fn note(request: &HttpRequest, access: Option<Access>, status: StatusCode) {
    let is_refusal = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::TOO_MANY_REQUESTS
    );
    // A redirect where only who is known may ask leads strangers to the sign-in page.
    let known = request.extensions().get::<Signed>().cloned();
    let guarded = !matches!(access, None | Some(Access::Public));
    let is_sent_to_sign_in = guarded && known.is_none() && status == StatusCode::SEE_OTHER;
    if !is_refusal && !is_sent_to_sign_in {
        return;
    }
    let address = request
        .app_data::<web::Data<Portal>>()
        .map_or_else(String::new, |portal| address(portal, request));
    let (method, status) = (request.method().as_str(), status.as_u16());
    let route = request.match_pattern().unwrap_or_default();
    match known {
        Some(Signed(principal)) => {
            let (actor, role) = (principal.scope.actor(), principal.scope.role());
            let (kind, id) = (actor.kind, &actor.id);
            let path = if guarded { request.path() } else { &route };
            tracing::warn!(status, method, path, kind, id, %role, address, "refused");
        }
        None => tracing::info!(
            status,
            method,
            route,
            address,
            "refused: nobody is signed in"
        ),
    }
}
