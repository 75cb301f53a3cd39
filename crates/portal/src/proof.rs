//! What is asked for before something that matters: a proof of the person that is at most five minutes
//! old. A form that comes without one is held, and goes on after it.

use actix_web::{
    HttpResponse,
    dev::{Payload, ServiceRequest},
    http::{Method, header},
    web::{self, Bytes},
};
use model::{Principal, held_form};
use serde::Deserialize;

use crate::{Portal, problem::PageProblem, view::see_other};

#[derive(Deserialize)]
struct Query {
    held: Option<String>,
}

/// Lets the request through if the person has proved lately who they are; else sends them to prove it.
pub(crate) async fn check(
    request: &mut ServiceRequest,
    portal: &Portal,
    principal: &Principal,
) -> Result<(), HttpResponse> {
    use actix_web::ResponseError;
    if principal.is_proved() {
        return release(request, portal, principal)
            .await
            .map_err(|problem| problem.error_response());
    }
    let location = ask(request, portal, principal)
        .await
        .map_err(|problem| problem.error_response())?;
    Err(see_other(&location))
}

fn target(request: &ServiceRequest) -> String {
    request
        .uri()
        .path_and_query()
        .map(|path| path.as_str().to_owned())
        .unwrap_or_default()
}

async fn ask(
    request: &mut ServiceRequest,
    portal: &Portal,
    principal: &Principal,
) -> Result<String, PageProblem> {
    let path = target(request);
    if *request.method() == Method::GET {
        return Ok(format!("/prove?next={}", encoded(&path)));
    }
    // Whole, with the boundary of its parts.
    let content_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = request
        .extract::<Bytes>()
        .await
        .map_err(|_| PageProblem::TooLarge)?;
    let form = held_form::Form {
        path,
        content_type,
        body: zeroize::Zeroizing::new(body.to_vec()),
    };
    let keyring = &portal.consent.connection.keyring;
    let token = held_form::hold(principal, keyring, &form).await?;
    Ok(format!("/prove?held={token}"))
}

pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Puts a held form in the place of the request's own body.
async fn release(
    request: &mut ServiceRequest,
    portal: &Portal,
    principal: &Principal,
) -> Result<(), PageProblem> {
    if *request.method() != Method::POST {
        return Ok(());
    }
    let query = web::Query::<Query>::from_query(request.query_string()).ok();
    let Some(token) = query.and_then(|q| q.into_inner().held) else {
        return Ok(());
    };
    let keyring = &portal.consent.connection.keyring;
    let lost = || {
        PageProblem::Conflict(
            "What you sent waited for too long, or was sent already. Open the page again.".into(),
        )
    };
    let form = held_form::take(principal, keyring, &token)
        .await?
        .ok_or_else(lost)?;
    // It goes where it was sent to and nowhere else.
    if form.path.split('?').next() != Some(request.path()) {
        return Err(lost());
    }
    let content_type = header::HeaderValue::from_str(&form.content_type).map_err(|_| lost())?;
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    request
        .headers_mut()
        .insert(header::CONTENT_LENGTH, form.body.len().into());
    let body = Bytes::copy_from_slice(&form.body);
    request.set_payload(Payload::from(body));
    Ok(())
}
