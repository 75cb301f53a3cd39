//! Intakes: where events of what was synced are sent.

use actix_web::{HttpRequest, HttpResponse, web};
use keys::Secret;
use model::{
    CompanyId, IntakeId, Scope, Timestamp,
    intake::{self, Act, Draft, Intake},
};
use report::ocsf::{Class, Form, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{Portal, guard::Signed};

/// An intake.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Intake)]
pub(crate) struct View {
    id: Uuid,
    name: String,
    url: String,
    /// The word before the token in the `Authorization` header.
    scheme: String,
    /// Classes of events, in the order in which they are sent.
    classes: Vec<String>,
    schema_version: String,
    form: String,
    /// Companies; null means all.
    company_ids: Option<Vec<Uuid>>,
    /// Whether anything is sent.
    is_on: bool,
    /// Events that arrived.
    events: i64,
    /// Failures in a row.
    failures: i64,
    /// Mappings of which something waits to be sent; of one intake alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_mappings: Option<u64>,
    created_at: String,
    last_sent_at: Option<String>,
    /// The last failure, if it came after the last success.
    last_error: Option<String>,
    last_error_at: Option<String>,
}

impl From<Intake> for View {
    fn from(intake: Intake) -> Self {
        Self {
            id: intake.id.0,
            name: intake.name,
            url: intake.url,
            scheme: intake.scheme,
            classes: intake.classes,
            schema_version: intake.schema_version,
            form: intake.form,
            company_ids: intake
                .companies
                .map(|all| all.iter().map(|id| id.0).collect()),
            is_on: intake.is_on,
            events: intake.events,
            failures: intake.failures,
            waiting_mappings: None,
            created_at: intake.created_at.rfc3339(),
            last_sent_at: intake.last_sent_at.map(Timestamp::rfc3339),
            last_error: intake.last_error,
            last_error_at: intake.last_error_at.map(Timestamp::rfc3339),
        }
    }
}

async fn view(scope: &Scope, id: IntakeId) -> Result<View, ApiProblem> {
    let found = intake::get(scope, id).await?.ok_or(ApiProblem::NotFound)?;
    let waiting = intake::waiting(scope, &found).await?;
    Ok(View {
        waiting_mappings: Some(waiting),
        ..found.into()
    })
}

/// Intakes
#[utoipa::path(get, path = "/api/v1/intakes", params(Paging), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    paging.cut(intake::list(&principal.scope).await?, View::from)
}

/// An intake to add.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewIntake)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[schema(max_length = 60)]
    name: String,
    /// Where events are sent to, by `POST` with `application/x-ndjson`.
    #[schema(max_length = 2000)]
    url: String,
    /// The word before the token: `Bearer`, unless told.
    #[serde(default = "bearer")]
    #[schema(max_length = 40, pattern = "^[A-Za-z0-9-]*$")]
    scheme: String,
    /// Kept sealed and never shown.
    #[serde(default)]
    #[schema(max_length = 4000)]
    token: String,
    /// Classes of events; all of them unless told.
    #[serde(default)]
    classes: Vec<String>,
    /// `1.6.0`, unless told, or `1.8.0`.
    #[serde(default)]
    #[schema(pattern = r"^(|1\.6\.0|1\.8\.0)$")]
    schema_version: String,
    /// `schema`, unless told, or `asset-connector`.
    #[serde(default)]
    #[schema(pattern = "^(|schema|asset-connector)$")]
    form: String,
    /// Companies; null means all.
    #[serde(default)]
    company_ids: Option<Vec<Uuid>>,
}

fn bearer() -> String {
    "Bearer".into()
}

impl New {
    fn read(self) -> Result<Draft, model::Error> {
        Ok(Draft {
            name: self.name,
            url: self.url,
            scheme: self.scheme,
            token: Secret::new(self.token),
            classes: classes(&self.classes)?,
            schema_version: version(&self.schema_version)?,
            form: form(&self.form)?,
            companies: self
                .company_ids
                .map(|all| all.into_iter().map(CompanyId).collect()),
        })
    }
}

/// Words of classes, in the order in which they are sent; none means all.
pub(crate) fn classes(words: &[String]) -> Result<Vec<String>, model::Error> {
    let mut chosen = Vec::new();
    for word in words {
        let class = Class::of(word).ok_or_else(|| {
            model::Error::field("classes", format!("{word} is no class of events."))
        })?;
        chosen.push(class);
    }
    let is_chosen = |class: &&Class| chosen.is_empty() || chosen.contains(class);
    let ordered = Class::ALL.iter().filter(is_chosen);
    Ok(ordered.map(|class| class.word().to_owned()).collect())
}

pub(crate) fn version(text: &str) -> Result<String, model::Error> {
    let version = match text {
        "" => Some(Version::default()),
        text => Version::of(text),
    };
    version
        .map(|version| version.as_str().to_owned())
        .ok_or_else(|| model::Error::field("schema_version", "Give 1.6.0 or 1.8.0."))
}

pub(crate) fn form(text: &str) -> Result<String, model::Error> {
    let form = match text {
        "" => Some(Form::default()),
        text => Form::of(text),
    };
    form.map(|form| form.as_str().to_owned())
        .ok_or_else(|| model::Error::field("form", "Give schema or asset-connector."))
}

/// Whether an intake's address may be reached: found out now, not by the first events.
pub(crate) fn check_url(portal: &Portal, url: &str) -> Result<(), model::Error> {
    let wrong = |message: String| model::Error::field("url", message);
    let url = url
        .parse()
        .map_err(|_| wrong("Give an address that begins with https://.".into()))?;
    let refused = portal.outbound.check(&url);
    refused.map_err(|refused| wrong(refused.to_string()))
}

/// Add an intake
///
/// Everything that is known is sent first, and from then on what changed after each sync.
#[utoipa::path(post, path = "/api/v1/intakes", request_body = New, responses(
    (status = 201, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let draft = new.into_inner().read()?;
    check_url(&portal, &draft.url)?;
    let keyring = &portal.consent.connection.keyring;
    let id = intake::create(&principal.scope, keyring, &draft).await?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/intakes/{id}")))
        .json(view(&principal.scope, id).await?))
}

/// One intake
#[utoipa::path(get, path = "/api/v1/intakes/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    Ok(HttpResponse::Ok().json(view(&principal.scope, *id).await?))
}

/// What of an intake can be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = IntakeChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// False pauses it; nothing is lost meanwhile. True lets it go on, at once.
    is_on: bool,
}

/// Pause an intake, or let it go on
#[utoipa::path(patch, path = "/api/v1/intakes/{id}", params(("id" = Uuid, Path)),
    request_body = Change, responses((status = 200, body = View), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<IntakeId>,
    change: web::Json<Change>,
) -> Answer {
    let act = match change.is_on {
        true => Act::Resume,
        false => Act::Pause,
    };
    intake::act(&principal.scope, *id, act)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    get(principal, id).await
}

/// Send everything once more
#[utoipa::path(post, path = "/api/v1/intakes/{id}/full-passes", params(("id" = Uuid, Path)), responses(
    (status = 202, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn send_again(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    intake::act(&principal.scope, *id, Act::SendAgain)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Accepted().json(view(&principal.scope, *id).await?))
}

/// Remove an intake with its token
#[utoipa::path(delete, path = "/api/v1/intakes/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<IntakeId>) -> Answer {
    intake::remove(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}
