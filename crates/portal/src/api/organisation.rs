//! The organisation itself: its name, its contact form and its audit log.

use actix_web::{HttpRequest, HttpResponse, web};
use model::{
    AuditRow, ChannelId, Role,
    audit::{self, Filter},
    contact_form, partner,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{Portal, guard::Signed};

/// The organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organisation)]
pub(crate) struct View {
    id: Uuid,
    name: String,
    /// Whom customers' administrators are told to ask.
    contact: String,
    /// Whether everybody needs a second factor.
    requires_second_factor: bool,
}

/// The organisation
#[utoipa::path(get, path = "/api/v1/organisation", responses((status = 200, body = View),
    (status = 401, body = Problem), (status = 403, body = Problem)))]
pub(crate) async fn get(portal: web::Data<Portal>, principal: Signed) -> Answer {
    let found = partner::current(&principal.scope).await?;
    Ok(HttpResponse::Ok().json(View {
        requires_second_factor: partner::requires_factor(&portal.db, found.id).await?,
        id: found.id.0,
        name: found.name,
        contact: found.contact,
    }))
}

/// What of the organisation can be changed; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = OrganisationChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    contact: Option<String>,
}

/// Change the organisation
#[utoipa::path(patch, path = "/api/v1/organisation", request_body = Change, responses(
    (status = 200, body = View), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update(
    portal: web::Data<Portal>,
    principal: Signed,
    change: web::Json<Change>,
) -> Answer {
    let now = partner::current(&principal.scope).await?;
    let change = change.into_inner();
    let name = change.name.unwrap_or(now.name);
    let contact = change.contact.unwrap_or(now.contact);
    partner::edit(&principal.scope, &name, &contact).await?;
    get(portal, principal).await
}

/// The public contact form.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ContactForm)]
pub(crate) struct FormView {
    is_on: bool,
    /// Where visitors find it.
    url: String,
    /// By which its messages leave.
    channel_id: Uuid,
    recipient: String,
    intro: String,
}

/// The contact form
#[utoipa::path(get, path = "/api/v1/contact-form", responses((status = 200, body = FormView),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
pub(crate) async fn form(portal: web::Data<Portal>, principal: Signed) -> Answer {
    principal.scope.require_everywhere(Role::Auditor)?;
    let found = contact_form::get(&principal.scope).await?;
    let found = found.ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(FormView {
        is_on: found.is_on,
        url: portal.url(&format!("/contact/{}", found.slug)),
        channel_id: found.channel.0,
        recipient: found.recipient,
        intro: found.intro,
    }))
}

/// The contact form as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ContactFormSettings)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormSettings {
    is_on: bool,
    /// A channel of mail.
    channel_id: Uuid,
    recipient: String,
    #[serde(default)]
    intro: String,
}

/// Set up the contact form
#[utoipa::path(put, path = "/api/v1/contact-form", request_body = FormSettings, responses(
    (status = 200, body = FormView), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn set_form(
    portal: web::Data<Portal>,
    principal: Signed,
    to: web::Json<FormSettings>,
) -> Answer {
    let channel = Some(ChannelId(to.channel_id));
    let scope = &principal.scope;
    contact_form::set(scope, channel, &to.recipient, &to.intro, to.is_on).await?;
    form(portal, principal).await
}

/// A row of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRow)]
pub(crate) struct RowView {
    number: i64,
    at: String,
    /// `member`, `token`, `run`, `operator` or `administrator`.
    actor_kind: String,
    actor_id: String,
    actor: String,
    address: String,
    #[schema(example = "mapping.create")]
    action: String,
    target_kind: String,
    target_id: String,
    target: String,
    #[schema(value_type = Object)]
    detail: Value,
    /// Over this row and the hash before it: docs/audit.md.
    hash: String,
}

impl From<AuditRow> for RowView {
    fn from(row: AuditRow) -> Self {
        Self {
            number: row.seq,
            at: row.at.rfc3339(),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor: row.actor_name,
            address: row.address,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            target: row.target_name,
            detail: serde_json::from_str(&row.detail).unwrap_or_default(),
            hash: row.hash,
        }
    }
}

/// Which rows of the audit log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// One kind of action, such as `mapping.create`
    #[serde(default)]
    action: String,
}

/// The audit log, newest first
#[utoipa::path(get, path = "/api/v1/audit-rows", params(Paging, Wanted), responses(
    (status = 200, body = List<RowView>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn audit_rows(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    let wanted: Wanted = query(&request)?;
    let filter = Filter {
        action: wanted.action,
        ..Filter::default()
    };
    let found = audit::list(&principal.scope, &filter, paging.window()?).await?;
    paging.page(found, RowView::from)
}
