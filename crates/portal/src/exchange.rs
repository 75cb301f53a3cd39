//! What programs may ask of every exchange with the API: that a request sent twice is done once
//! (`Idempotency-Key`), that an answer they have is not sent again (`If-None-Match`), and that a change is
//! made to what they saw and to nothing newer (`If-Match`).

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::{self, Bytes, Path},
};
use keys::Secret;
use model::{
    AlertId, ChannelId, CompanyId, CredentialId, IntakeId, MappingId, MemberId,
    idempotency_key::{self, Answer, Claim},
};

use crate::{Portal, api, guard::Signed, problem::ApiProblem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const LONGEST_KEY: usize = 255;
/// The longest list of ETags.
const LONGEST_LIST: usize = 2000;

pub(crate) async fn exchange(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let pattern = request.match_pattern().unwrap_or_default();
    if !pattern.starts_with("/api/v1/") || !request.extensions().contains::<Signed>() {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let is_one = pattern.ends_with("/{id}");
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let value = request.headers().get(&name).map(HeaderValue::as_bytes);
        let is_list = |list: &[u8]| {
            (1..=LONGEST_LIST).contains(&list.len())
                && list.iter().all(|b| (b' '..=b'~').contains(b))
        };
        if is_one && value.is_some_and(|list| !is_list(list)) {
            let problem = ApiProblem::BadRequest(format!("{name}: give an ETag, or several."));
            return Ok(request.into_response(problem.error_response()));
        }
    }
    if matches!(
        *request.method(),
        Method::POST | Method::PATCH | Method::PUT
    ) && let Err(problem) = is_object(&mut request).await
    {
        return Ok(request.into_response(problem.error_response()));
    }
    match *request.method() {
        Method::POST if request.headers().contains_key(KEY) => once(request, next).await,
        Method::GET if is_one => tagged(next.call(request).await?.map_into_boxed_body()).await,
        Method::PATCH if is_one => {
            if let Some(wanted) = request.headers().get(header::IF_MATCH).cloned()
                && let Err(problem) = unchanged(&request, &pattern, &wanted).await
            {
                return Ok(request.into_response(problem.error_response()));
            }
            tagged(next.call(request).await?.map_into_boxed_body()).await
        }
        _ => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

/// Whether a body is an object, where there is one: a list of an object's values is none, though its
/// reader would take it for one.
async fn is_object(request: &mut ServiceRequest) -> Result<(), ApiProblem> {
    let body = request.extract::<Bytes>().await.map_err(|_| {
        ApiProblem::BadRequest("The body may hold 1 MB, and must arrive whole.".into())
    })?;
    let first = body
        .iter()
        .find(|byte| !byte.is_ascii_whitespace())
        .copied();
    request.set_payload(Payload::from(body));
    match first {
        None | Some(b'{') => Ok(()),
        Some(_) => Err(ApiProblem::BadRequest(
            "The body is not the JSON that is expected: give an object.".into(),
        )),
    }
}

/// Does a request once, however often it is sent with the same key.
async fn once(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Ok(body) = request.extract::<Bytes>().await else {
        let problem =
            ApiProblem::BadRequest("The body may hold 1 MB, and must arrive whole.".into());
        return Ok(request.into_response(problem.error_response()));
    };
    let claim = claim(request.request(), &body).await;
    let claimed = match claim {
        Ok(Claim::Fresh(claimed)) => claimed,
        Ok(Claim::Done(answer)) => return Ok(request.into_response(replayed(answer))),
        Ok(Claim::Running) => {
            let problem = ApiProblem::Conflict(
                "The same request is being done at this moment. Send it again in a few seconds."
                    .into(),
            );
            let mut answer = problem.error_response();
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            return Ok(request.into_response(answer));
        }
        Ok(Claim::OtherRequest) => {
            let problem = model::Error::field(
                "Idempotency-Key",
                "Another request had this key. Give each request a key of its own.",
            );
            return Ok(request.into_response(ApiProblem::from(problem).error_response()));
        }
        Err(problem) => return Ok(request.into_response(problem.error_response())),
    };
    let (portal, signed) = parts(request.request());
    request.set_payload(Payload::from(body));
    let answered = next.call(request).await;
    let (Some(portal), Some(signed)) = (portal, signed) else {
        return Ok(answered?.map_into_boxed_body());
    };
    let answered = match answered {
        Ok(answered) => answered,
        // Refused before the handler: nothing was done.
        Err(error) => {
            forget(&signed, claimed).await;
            return Err(error);
        }
    };
    let (request, response) = answered.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body)
        .await
        .map_err(|_| Error::from(ApiProblem::Inner("an answer could not be read".into())))?;
    if head.status().is_server_error() {
        forget(&signed, claimed).await;
    } else {
        let text = |name| {
            let value = head.headers().get(name);
            value.and_then(|v| v.to_str().ok()).unwrap_or_default()
        };
        let answer = Answer {
            status: head.status().as_u16(),
            content_type: text(header::CONTENT_TYPE).to_owned(),
            location: text(header::LOCATION).to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let keyring = &portal.consent.connection.keyring;
        if let Err(error) = idempotency_key::keep(&signed.scope, keyring, claimed, &answer).await {
            // It is done all the same; sent again it is told to wait, and then done once more.
            tracing::warn!(%error, "the answer to a request could not be kept");
        }
    }
    let response = head.set_body(BoxBody::new(body));
    Ok(ServiceResponse::new(request, response))
}

fn parts(request: &HttpRequest) -> (Option<web::Data<Portal>>, Option<Signed>) {
    let portal = request.app_data::<web::Data<Portal>>().cloned();
    (portal, request.extensions().get::<Signed>().cloned())
}

async fn forget(signed: &Signed, claimed: idempotency_key::Claimed) {
    if let Err(error) = idempotency_key::forget(&signed.scope, claimed).await {
        tracing::warn!(%error, "a request that failed could not be forgotten");
    }
}

async fn claim(request: &HttpRequest, body: &[u8]) -> Result<Claim, ApiProblem> {
    let (Some(portal), Some(signed)) = parts(request) else {
        return Err(ApiProblem::NotFound);
    };
    let name = request.headers().get(KEY).and_then(|v| v.to_str().ok());
    let name = name.filter(|name| {
        let is_visible = name.bytes().all(|b| b.is_ascii_graphic());
        (1..=LONGEST_KEY).contains(&name.len()) && is_visible
    });
    let Some(name) = name else {
        return Err(ApiProblem::BadRequest(format!(
            "Idempotency-Key: give 1 to {LONGEST_KEY} visible characters."
        )));
    };
    let mut content = format!("{} {}\n", request.method(), request.uri()).into_bytes();
    content.extend_from_slice(body);
    let keyring = &portal.consent.connection.keyring;
    // Under what only the other side has: a body may hold a password that a bare hash would give away.
    let token = request.headers().get(header::AUTHORIZATION);
    let token = token.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let fingerprint = keys::hmac(&Secret::new(token), &content);
    Ok(idempotency_key::claim(&signed.scope, keyring, name, &fingerprint).await?)
}

fn replayed(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    for (name, value) in [
        (header::CONTENT_TYPE, answer.content_type),
        (header::LOCATION, answer.location),
    ] {
        if !value.is_empty() {
            response.insert_header((name, value));
        }
    }
    response.insert_header((REPLAYED, "true")).body(answer.body)
}

/// Gives an answer its tag; where the other side has it already, the tag alone is sent.
async fn tagged(answered: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    if answered.status() != StatusCode::OK || !is_json(answered.headers()) {
        return Ok(answered);
    }
    let (request, response) = answered.into_parts();
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body)
        .await
        .map_err(|_| Error::from(ApiProblem::Inner("an answer could not be read".into())))?;
    let tag = tag(&body);
    let known = request.headers().get(header::IF_NONE_MATCH);
    if request.method() == Method::GET && known.is_some_and(|known| names(known, &tag)) {
        let response = HttpResponse::NotModified()
            .insert_header((header::ETAG, tag))
            .finish();
        return Ok(ServiceResponse::new(request, response));
    }
    if let Ok(value) = HeaderValue::from_str(&tag) {
        head.headers_mut().insert(header::ETAG, value);
    }
    Ok(ServiceResponse::new(
        request,
        head.set_body(BoxBody::new(body)),
    ))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// A strong tag: what is not the same byte by byte has another one.
fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &keys::sha256(body)[..32])
}

/// Whether a list of tags names one, or any.
fn names(list: &HeaderValue, tag: &str) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one == tag)
}

/// Refuses a change of what is not as the other side saw it.
async fn unchanged(
    request: &ServiceRequest,
    pattern: &str,
    wanted: &HeaderValue,
) -> Result<(), ApiProblem> {
    let signed = request.extensions().get::<Signed>().cloned();
    let signed = signed.ok_or(ApiProblem::NotFound)?;
    // Parts of the path are known by name only further in.
    let id = request.path().rsplit('/').next().unwrap_or_default();
    let now = current(pattern, signed, id)
        .await
        .unwrap_or(Err(ApiProblem::NotFound))?;
    let body = to_bytes(now.into_body())
        .await
        .map_err(|_| ApiProblem::Inner("an answer could not be read".into()))?;
    match names(wanted, &tag(&body)) {
        true => Ok(()),
        false => Err(ApiProblem::Changed),
    }
}

/// What the API answers now for a thing that can be changed; `None` for a path that is none.
async fn current(pattern: &str, signed: Signed, id: &str) -> Option<api::Answer> {
    let noun = pattern
        .strip_prefix("/api/v1/")
        .and_then(|rest| rest.strip_suffix("/{id}"))?;
    macro_rules! ask {
        ($($noun:literal: $module:ident of $id:ty),+) => {
            match noun {
                $($noun => Some(match id.parse::<$id>() {
                    Ok(id) => api::$module::get(signed, Path::from(id)).await,
                    Err(_) => Err(ApiProblem::NotFound),
                }),)+
                _ => None,
            }
        };
    }
    ask!(
        "alerts": alerts of AlertId, "channels": channels of ChannelId,
        "companies": companies of CompanyId, "intakes": intakes of IntakeId,
        "credentials": credentials of CredentialId, "mappings": mappings of MappingId,
        "members": members of MemberId
    )
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::{names, tag};

    #[test]
    fn tags_are_named_in_lists() {
        let tag = tag(b"{}");
        let is_named = |list: &str| HeaderValue::from_str(list).is_ok_and(|l| names(&l, &tag));
        assert!(is_named(&tag) && is_named("*") && is_named(&format!("\"x\", W/{tag}")));
        assert!(!is_named("\"x\"") && !is_named(""));
    }
}
