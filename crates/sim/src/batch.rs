//! `$batch`: several requests in one, each answered and charged as if it had come alone.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{HttpRequest, HttpResponse, body::MessageBody, web};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Kind,
    body::spoilt,
    call::Answer,
    refusal::{self, bad_request},
    router::{Ask, answer, meet},
    state::State,
};

/// Requests in one batch.
const MOST: usize = 20;

#[derive(Deserialize)]
pub(crate) struct Batch {
    requests: Vec<Inner>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inner {
    id: String,
    method: String,
    url: String,
    #[serde(default)]
    depends_on: Vec<String>,
}

pub(crate) async fn batch(
    state: web::Data<State>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let ask = Ask::of(&request);
    // The batch itself is no path of Microsoft's metadata, and no page.
    let fault = state
        .note(&ask.uri, "/$batch")
        .or_else(|| state.weather.strike(&ask.uri, &["repeat"]));
    let answer = match answers(&state, &ask, fault.as_ref(), &body).await {
        Ok(answer) | Err(answer) => answer,
    };
    state.weather.answered(None, &answer, state.millis());
    answer
}

async fn answers(state: &State, ask: &Ask, fault: Option<&Kind>, body: &[u8]) -> Answer {
    meet(ask, fault).await?;
    state.holder_of(ask).ok_or_else(refusal::unauthorised)?;
    let batch = read(body)?;
    let mut statuses = BTreeMap::new();
    let mut responses = Vec::new();
    for inner in &batch.requests {
        let response = respond(state, ask, inner, &statuses).await;
        statuses.insert(inner.id.as_str(), response.status().as_u16());
        responses.push(written(&inner.id, response));
    }
    // In another order than they were asked in, which Microsoft does not promise either.
    responses.reverse();
    let text = format!("{{\"responses\":[{}]}}", responses.join(","));
    let mut answer = HttpResponse::Ok();
    Ok(spoilt(answer.content_type("application/json"), text, fault))
}

fn read(body: &[u8]) -> Result<Batch, HttpResponse> {
    let batch: Batch =
        serde_json::from_slice(body).map_err(|_| bad_request("Invalid batch payload format."))?;
    if batch.requests.is_empty() || batch.requests.len() > MOST {
        return Err(bad_request(&format!(
            "Number of batch request steps must be between 1 and {MOST}."
        )));
    }
    let mut ids = BTreeSet::new();
    for inner in &batch.requests {
        if !ids.insert(inner.id.to_lowercase()) {
            return Err(bad_request(&format!(
                "Request Id '{}' has to be unique in a batch.",
                inner.id
            )));
        }
    }
    Ok(batch)
}

async fn respond(
    state: &State,
    outer: &Ask,
    inner: &Inner,
    statuses: &BTreeMap<&str, u16>,
) -> HttpResponse {
    let failed = |id: &String| {
        statuses
            .get(id.as_str())
            .is_none_or(|status| *status >= 400)
    };
    if inner.depends_on.iter().any(failed) {
        return refusal::error(424, "FailedDependency", "A request it depends on failed.");
    }
    if !inner.method.eq_ignore_ascii_case("GET") {
        return refusal::error(405, "MethodNotAllowed", "Only GET is simulated in a batch.");
    }
    let uri = format!("/v1.0/{}", inner.url.trim_start_matches('/'));
    let ask = Ask::new(outer.root.clone(), uri, outer.token.clone(), true);
    answer(state, &ask).await
}

/// A response as JSON; a body that is JSON is taken over as it is, any other becomes text.
fn written(id: &str, response: HttpResponse) -> String {
    let status = response.status().as_u16();
    let mut headers = BTreeMap::new();
    for (name, value) in response.headers() {
        let name = match name.as_str() {
            "retry-after" => "Retry-After",
            "content-type" => "Content-Type",
            "location" => "Location",
            other => other,
        };
        headers.insert(
            name.to_owned(),
            value.to_str().unwrap_or_default().to_owned(),
        );
    }
    let is_json = headers
        .get("Content-Type")
        .is_some_and(|kind| kind.starts_with("application/json"));
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let body = match (text.is_empty(), is_json) {
        (true, _) => "null".to_owned(),
        (false, true) => text.into_owned(),
        (false, false) => json!(text).to_string(),
    };
    format!(
        "{{\"id\":{},\"status\":{status},\"headers\":{},\"body\":{body}}}",
        json!(id),
        json!(headers)
    )
}
