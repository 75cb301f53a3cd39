//! `/api/v1`: the main job for scripts, with bearer tokens. Lists answer
//! `{"value": […], "next": …}`, with a total on request; errors are problem+json.

pub(crate) mod alerts;
pub(crate) mod assessments;
pub(crate) mod channels;
pub(crate) mod companies;
pub(crate) mod connection_tests;
pub(crate) mod consent_links;
pub(crate) mod consent_requests;
pub(crate) mod credential_secrets;
pub(crate) mod credentials;
pub(crate) mod discoveries;
pub(crate) mod evidence;
mod examples;
pub(crate) mod groups;
pub(crate) mod holds;
pub(crate) mod intakes;
pub(crate) mod mappings;
pub(crate) mod members;
pub(crate) mod objects;
pub(crate) mod ocsf_events;
pub(crate) mod organisation;
pub(crate) mod report_schedules;
pub(crate) mod reports;
pub(crate) mod runs;
pub(crate) mod scheduled_runs;
pub(crate) mod secure_scores;
pub(crate) mod tenants;
pub(crate) mod users;

use actix_web::{HttpRequest, HttpResponse, web};
use model::{Listing, Window};
use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, Modify, OpenApi, ToSchema,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

use crate::{
    Portal,
    problem::{ApiProblem, Problem, ProblemField},
    routes::{self, Access},
};

pub(crate) type Answer = Result<HttpResponse, ApiProblem>;

/// Paging of every list.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Rows to return: 1 to 500, 100 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u64>,
    /// Where to go on: the `next` of the answer before, unchanged.
    #[param(pattern = "^[0-9]{1,9}(-[0-9]{1,9})*$")]
    after: Option<String>,
    /// Whether to count all rows that match.
    #[serde(default)]
    total: bool,
}

impl Paging {
    fn window(&self) -> Result<Window, ApiProblem> {
        let limit = self.limit.unwrap_or(100);
        if !(1..=500).contains(&limit) {
            return Err(ApiProblem::BadRequest(
                "limit: give a number from 1 to 500.".into(),
            ));
        }
        let offset = match &self.after {
            None => 0,
            Some(text) => text
                .split('-')
                .next()
                .and_then(|offset| offset.parse().ok())
                .filter(|offset| *offset <= u64::from(u32::MAX))
                .ok_or_else(|| {
                    ApiProblem::BadRequest(
                        "after: give the `next` of the answer before, unchanged.".into(),
                    )
                })?,
        };
        Ok(Window { offset, limit })
    }

    /// Pins what is read to what the page before was of, so that all pages are of one snapshot.
    fn pin(&self, pin: impl FnOnce(&[i64]) -> bool) -> Result<(), ApiProblem> {
        let Some((_, pins)) = self.after.as_deref().and_then(|text| text.split_once('-')) else {
            return Ok(());
        };
        let pins: Option<Vec<i64>> = pins.split('-').map(|pin| pin.parse().ok()).collect();
        match pins.is_some_and(|pins| pin(&pins)) {
            true => Ok(()),
            false => Err(ApiProblem::Conflict(
                "after: the list is of other mappings now. Begin again without it.".into(),
            )),
        }
    }

    /// The answer of a page of a snapshot; what is `next` names its generations.
    fn pinned<T, V: Serialize>(
        &self,
        listing: Listing<T>,
        generations: &[i64],
        view: impl Fn(T) -> V,
    ) -> Result<HttpResponse, ApiProblem> {
        let pins: String = generations.iter().map(|pin| format!("-{pin}")).collect();
        self.answer(listing, &pins, view)
    }

    /// The answer of a page that the database cut.
    fn page<T, V: Serialize>(
        &self,
        listing: Listing<T>,
        view: impl Fn(T) -> V,
    ) -> Result<HttpResponse, ApiProblem> {
        self.answer(listing, "", view)
    }

    fn answer<T, V: Serialize>(
        &self,
        listing: Listing<T>,
        pins: &str,
        view: impl Fn(T) -> V,
    ) -> Result<HttpResponse, ApiProblem> {
        let window = self.window()?;
        let shown = listing.rows.len() as u64;
        let end = window.offset + shown;
        Ok(HttpResponse::Ok().json(List {
            value: listing.rows.into_iter().map(view).collect::<Vec<_>>(),
            next: (end < listing.total && shown > 0).then(|| format!("{end}{pins}")),
            total: self.total.then_some(listing.total),
        }))
    }

    /// The answer of a short list that was read whole.
    fn cut<T, V: Serialize>(
        &self,
        all: Vec<T>,
        view: impl Fn(T) -> V,
    ) -> Result<HttpResponse, ApiProblem> {
        let window = self.window()?;
        let total = all.len() as u64;
        let skip = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(window.limit).unwrap_or(usize::MAX);
        let rows = all.into_iter().skip(skip).take(take).collect();
        self.page(Listing { rows, total }, view)
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The rows.
    value: Vec<T>,
    /// Give it as `after` for the next page; null at the end.
    next: Option<String>,
    /// Rows in all, where `total=true` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

pub(crate) fn json_config() -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(1024 * 1024)
        .error_handler(|error, _| {
            ApiProblem::BadRequest(format!(
                "The body is not the JSON that is expected: {error}"
            ))
            .into()
        })
}

/// A path whose id is no id: not found, on pages and in the API alike.
pub(crate) fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, request| {
        if request.path().starts_with("/api/") {
            ApiProblem::NotFound.into()
        } else {
            crate::problem::PageProblem::NotFound.into()
        }
    })
}

/// A page's query that cannot be read: the address was written by hand.
pub(crate) fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|_, _| crate::problem::PageProblem::NotFound.into())
}

/// A query of the API, with a clear answer where it cannot be read.
pub(crate) fn query<T: serde::de::DeserializeOwned>(
    request: &HttpRequest,
) -> Result<T, ApiProblem> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|e| ApiProblem::BadRequest(format!("The query cannot be read: {e}")))
}

pub(crate) async fn healthz(portal: web::Data<Portal>) -> HttpResponse {
    match portal.db.ping().await {
        Ok(()) => HttpResponse::Ok().json(serde_json::json!({
            "status": "ok", "database": portal.db.kind(), "version": env!("CARGO_PKG_VERSION"),
        })),
        Err(_) => HttpResponse::ServiceUnavailable()
            .json(serde_json::json!({ "status": "the database does not answer" })),
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tenantry API",
        description = "Everything that the main job needs: credentials, consent, companies, mappings, runs and what was synced.",
    ),
    paths(
        credentials::list, credentials::create, credentials::get, credentials::revoke,
        credentials::delete, credential_secrets::list, credential_secrets::create,
        credential_secrets::promote, connection_tests::create, discoveries::create,
        consent_links::list, consent_links::create, consent_links::delete,
        consent_requests::create, consent_requests::get,
        tenants::list, tenants::get,
        companies::list, companies::create, companies::get, companies::update,
        companies::import,
        mappings::list, mappings::create, mappings::get, mappings::delete, mappings::update,
        mappings::remap,
        scheduled_runs::list, runs::list, runs::create, runs::get, runs::cancel, runs::retry,
        users::list, groups::list, groups::members, objects::list, objects::get, holds::list, holds::confirm, secure_scores::list,
        reports::get, alerts::list, alerts::get, alerts::update,
        evidence::list, evidence::get, evidence::coverage,
        assessments::list, assessments::create, assessments::get, assessments::attach,
        assessments::approve, assessments::delete, assessments::archive,
        channels::list, channels::create, channels::get, channels::update, channels::delete,
        channels::deliveries, channels::test,
        ocsf_events::list, intakes::list, intakes::create, intakes::get, intakes::update,
        intakes::delete, intakes::send_again,
        users::get, groups::get, secure_scores::controls, companies::delete, credentials::update,
        channels::resend, consent_requests::check, assessments::detach, runs::events,
        report_schedules::list, report_schedules::create, report_schedules::delete,
        members::list, members::get, members::update, members::delete,
        members::invitations, members::invite, members::withdraw,
        organisation::get, organisation::update, organisation::form, organisation::set_form,
        organisation::audit_rows,
    ),
    components(schemas(Problem, ProblemField)),
    security(("token" = [])),
    modifiers(&Token),
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("An API token: `Authorization: Bearer tnt_…`".into());
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The document, with what all operations share.
pub(crate) fn document() -> serde_json::Value {
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let paths = document["paths"].as_object_mut();
    for (path, operations) in paths.into_iter().flatten() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            operation["operationId"] = operation_id(method, path).into();
            let sample = examples::sample(method, path, operation);
            operation["x-codeSamples"] =
                serde_json::json!([{ "lang": "Shell", "label": "curl", "source": sample }]);
            say_role(method, path, operation);
            say_exchange(method, path.ends_with("/{id}"), operation);
            say_problems(operation);
        }
    }
    document
}

pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().json(document())
}

/// A name of its own for an operation: `get_companies`, `get_companies_one`, `post_companies_runs`.
fn operation_id(method: &str, path: &str) -> String {
    let parts: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
    let is_hole = |part: &&&str| part.starts_with('{');
    let mut id = method.to_owned();
    for part in parts.iter().filter(|part| !is_hole(part)) {
        id.push('_');
        id.push_str(&part.replace('-', "_"));
    }
    id.push_str(&"_one".repeat(parts.iter().rev().take_while(is_hole).count()));
    id
}

/// The least role of a token for an operation.
fn say_role(method: &str, path: &str, operation: &mut serde_json::Value) {
    let Some(Access::Api(role)) = routes::TABLE
        .iter()
        .find(|(m, p, _)| *m == method && *p == path)
        .map(|(_, _, access)| *access)
    else {
        return;
    };
    let said = operation["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let gap = if said.is_empty() { "" } else { "\n\n" };
    operation["description"] =
        format!("{said}{gap}Needs a token of the role {role} or higher.").into();
    operation["x-least-role"] = role.as_str().into();
}

/// What `crate::exchange` adds to an operation.
fn say_exchange(method: &str, is_one: bool, operation: &mut serde_json::Value) {
    let (header, text, length, status, answer) = match method {
        "post" => (
            "Idempotency-Key",
            "Sent again with the same key within a day, the request is not done again: the first \
             answer is given once more, with `Idempotency-Replayed: true`.",
            255,
            None,
            "",
        ),
        "get" if is_one => (
            "If-None-Match",
            "The ETag of an answer that you have: where nothing changed, 304 is answered.",
            2000,
            Some("304"),
            "Nothing changed since the ETag that you gave.",
        ),
        "patch" if is_one => (
            "If-Match",
            "The ETag of what you mean to change: where it is not like that any more, nothing is done.",
            2000,
            Some("412"),
            "It changed since the ETag that you gave.",
        ),
        _ => return,
    };
    let parameter = serde_json::json!({
        "name": header, "in": "header", "required": false, "description": text,
        "schema": { "type": "string", "minLength": 1, "maxLength": length, "pattern": "^[!-~]+$" },
    });
    let problem = || {
        let problem = serde_json::json!({ "$ref": "#/components/schemas/Problem" });
        serde_json::json!({ "application/json": { "schema": problem } })
    };
    if operation["responses"]["400"].is_null() {
        let text = "A header, the query or the body cannot be read.";
        operation["responses"]["400"] =
            serde_json::json!({ "description": text, "content": problem() });
    }
    match operation["parameters"].as_array_mut() {
        Some(all) => all.push(parameter),
        None => operation["parameters"] = serde_json::json!([parameter]),
    }
    if let Some(status) = status {
        operation["responses"][status] = serde_json::json!({ "description": answer });
        if status == "412" {
            operation["responses"][status]["content"] = problem();
        }
    }
    if method == "post" {
        for (status, text) in [
            (
                "409",
                "That is not possible now, or the same request is being done at this moment.",
            ),
            ("422", "Wrong fields, or a key that another request had."),
        ] {
            if operation["responses"][status].is_null() {
                let answer = serde_json::json!({ "description": text, "content": problem() });
                operation["responses"][status] = answer;
            }
        }
    }
}

/// What all operations share: a problem has a type of its own (RFC 9457), and a query or body that
/// cannot be read is answered with 400.
fn say_problems(operation: &mut serde_json::Value) {
    let problem = serde_json::json!({ "$ref": "#/components/schemas/Problem" });
    let in_query = |p: &serde_json::Value| p["in"] == "query";
    let takes = operation["requestBody"].is_object()
        || operation["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(in_query));
    let responses = operation.get_mut("responses");
    let Some(responses) = responses.and_then(|r| r.as_object_mut()) else {
        return;
    };
    if takes && !responses.contains_key("400") {
        let content = serde_json::json!({ "application/json": { "schema": problem } });
        let text = "The query or the body cannot be read.";
        let answer = serde_json::json!({ "description": text, "content": content });
        responses.insert("400".into(), answer);
    }
    if !responses.contains_key("429") {
        let content = serde_json::json!({ "application/json": { "schema": problem } });
        let text = "The token asked too often; Retry-After says when to come again.";
        let answer = serde_json::json!({ "description": text, "content": content });
        responses.insert("429".into(), answer);
    }
    for (status, response) in responses.iter_mut() {
        // Every answer is described (OpenAPI 3.1, 4.8.17).
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = describe(status).into();
        }
        let content = response.get_mut("content").and_then(|c| c.as_object_mut());
        let Some(content) = content else {
            continue;
        };
        if content
            .get("application/json")
            .is_some_and(|json| json["schema"] == problem)
            && let Some(json) = content.remove("application/json")
        {
            content.insert("application/problem+json".into(), json);
        }
    }
}

fn describe(status: &str) -> &'static str {
    match status {
        "200" => "What was asked for.",
        "201" => "It was made.",
        "202" => "It was taken on, and is done by itself.",
        "204" => "It was done; there is nothing to say.",
        "400" => "The query or the body cannot be read.",
        "401" => "No valid token.",
        "403" => "The token's role is too low.",
        "404" => "There is no such thing, or the token may not see it.",
        "409" => "That is not possible now; the text says why.",
        "422" => "Wrong fields, each with what is wrong with it.",
        _ => "As the text of the problem says.",
    }
}

/// A whole number that JSON may also write as `30.0`: to JSON Schema both are integers.
pub(crate) fn whole_number<'de, D: serde::Deserializer<'de>, N: TryFrom<i64>>(
    deserializer: D,
) -> Result<Option<N>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    #[allow(clippy::cast_possible_truncation)] // of a float without a fraction, within 2^53
    let whole = number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
    });
    whole
        .and_then(|whole| N::try_from(whole).ok())
        .map(Some)
        .ok_or_else(|| {
            serde::de::Error::custom(format!("{number} is no whole number that is possible here"))
        })
}
