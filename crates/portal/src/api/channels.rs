//! Channels of notifications, and what they sent.

use actix_web::{HttpRequest, HttpResponse, web};
use keys::Secret;
use model::{
    AlertKind, ChannelEvent, ChannelId, CompanyId, CredentialId, Delivery, DeliveryId, Severity,
    Timestamp,
    channel::{self, Channel, Draft, Rules, Security, Settings},
    delivery,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Answer, ApiProblem, List, Paging, Problem, query};
use crate::{Portal, guard::Signed};

/// How a channel reaches its other side; which fields count follows from `kind`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ChannelSettings)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsView {
    /// `microsoft365`, `smtp` or `webhook`.
    #[schema(pattern = "^(microsoft365|smtp|webhook)$")]
    kind: String,
    /// Of `microsoft365`: a credential that has mail switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential_id: Option<Uuid>,
    /// Of mail: one to twenty addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Vec<String>>,
    /// Of `smtp`: the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Of `smtp`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::whole_number"
    )]
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    /// Of `smtp`: `starttls`, `tls`, or `none` in a network that the operator allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(starttls|tls|none)$")]
    security: Option<String>,
    /// Of `smtp`; empty where none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Of `smtp`: the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Of `webhook`: where it is sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl From<Settings> for SettingsView {
    fn from(settings: Settings) -> Self {
        let kind = settings.kind().to_string();
        match settings {
            Settings::Microsoft365 { credential, to } => Self {
                kind,
                credential_id: Some(credential.0),
                to: Some(to),
                ..Self::default()
            },
            Settings::Smtp {
                host,
                port,
                security,
                username,
                from,
                to,
            } => Self {
                kind,
                host: Some(host),
                port: Some(port),
                security: Some(
                    match security {
                        Security::Tls => "tls",
                        Security::Starttls => "starttls",
                        Security::None => "none",
                    }
                    .into(),
                ),
                username: Some(username),
                from: Some(from),
                to: Some(to),
                ..Self::default()
            },
            Settings::Webhook { url } => Self {
                kind,
                url: Some(url),
                ..Self::default()
            },
        }
    }
}

impl SettingsView {
    fn read(self) -> Result<Settings, ApiProblem> {
        let wrong = |field, text: &str| ApiProblem::from(model::Error::field(field, text));
        match self.kind.as_str() {
            "webhook" => Ok(Settings::Webhook {
                url: self.url.unwrap_or_default(),
            }),
            "microsoft365" => Ok(Settings::Microsoft365 {
                credential: self
                    .credential_id
                    .map(CredentialId)
                    .ok_or_else(|| wrong("credential_id", "Give a credential that has mail."))?,
                to: self.to.unwrap_or_default(),
            }),
            "smtp" => Ok(Settings::Smtp {
                host: self.host.unwrap_or_default(),
                port: self.port.unwrap_or(587),
                security: match self.security.as_deref() {
                    None | Some("starttls") => Security::Starttls,
                    Some("tls") => Security::Tls,
                    Some("none") => Security::None,
                    Some(_) => return Err(wrong("security", "Give starttls, tls or none.")),
                },
                username: self.username.unwrap_or_default(),
                from: self.from.unwrap_or_default(),
                to: self.to.unwrap_or_default(),
            }),
            _ => Err(wrong("kind", "Give microsoft365, smtp or webhook.")),
        }
    }
}

/// Which notifications a channel takes, and when they leave.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = ChannelRules)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesView {
    /// Kinds of alerts; none means all.
    #[serde(default)]
    kinds: Vec<String>,
    /// `info`, `warning` or `critical`.
    #[serde(default)]
    #[schema(pattern = "^(|info|warning|critical)$")]
    least_severity: String,
    /// Companies; null means all, and what belongs to none.
    #[serde(default)]
    company_ids: Option<Vec<Uuid>>,
    /// The hour (UTC) of one digest a day; null means each at once.
    #[serde(default, deserialize_with = "super::whole_number")]
    #[schema(minimum = 0, maximum = 23)]
    digest_hour: Option<i64>,
    /// What a webhook is told of beside alerts, each at once: `run.finished`, `mapping.changed`.
    #[serde(default)]
    events: Vec<String>,
}

impl From<Rules> for RulesView {
    fn from(rules: Rules) -> Self {
        Self {
            kinds: rules.kinds.iter().map(ToString::to_string).collect(),
            least_severity: rules.least_severity.to_string(),
            company_ids: rules
                .companies
                .map(|all| all.iter().map(|id| id.0).collect()),
            digest_hour: rules.digest_hour,
            events: rules.events.iter().map(ToString::to_string).collect(),
        }
    }
}

impl RulesView {
    fn read(self) -> Result<Rules, ApiProblem> {
        let wrong = |field, why: String| ApiProblem::from(model::Error::field(field, why));
        let mut kinds = Vec::new();
        for kind in &self.kinds {
            kinds.push(
                kind.parse::<AlertKind>()
                    .map_err(|why| wrong("kinds", why))?,
            );
        }
        let mut events = Vec::new();
        for event in &self.events {
            let event = event.parse::<ChannelEvent>();
            events.push(event.map_err(|why| wrong("events", why))?);
        }
        Ok(Rules {
            kinds,
            events,
            least_severity: match self.least_severity.as_str() {
                "" => Severity::Info,
                word => word.parse().map_err(|why| wrong("least_severity", why))?,
            },
            companies: self
                .company_ids
                .map(|all| all.into_iter().map(CompanyId).collect()),
            digest_hour: self.digest_hour,
        })
    }
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Channel)]
pub(crate) struct View {
    id: Uuid,
    name: String,
    settings: SettingsView,
    rules: RulesView,
    last_sent_at: Option<String>,
    /// The last failure, if it came after the last success.
    last_error: Option<String>,
}

impl From<Channel> for View {
    fn from(channel: Channel) -> Self {
        Self {
            id: channel.id.0,
            name: channel.name,
            settings: channel.settings.into(),
            rules: channel.rules.into(),
            last_sent_at: channel.last_sent_at.map(Timestamp::rfc3339),
            last_error: channel.last_error,
        }
    }
}

/// Channels
#[utoipa::path(get, path = "/api/v1/channels", params(Paging), responses(
    (status = 200, body = List<View>), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn list(request: HttpRequest, principal: Signed) -> Answer {
    let paging: Paging = query(&request)?;
    paging.cut(channel::list(&principal.scope).await?, View::from)
}

/// A channel to add.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewChannel)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    #[schema(max_length = 60)]
    name: String,
    settings: SettingsView,
    #[serde(default)]
    rules: RulesView,
    /// The password of SMTP; kept sealed and never shown.
    #[serde(default)]
    #[schema(max_length = 300)]
    password: String,
}

/// A channel that was added.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddedChannel)]
pub(crate) struct Added {
    #[serde(flatten)]
    channel: View,
    /// Of a webhook: the key of its signature, which is never shown again.
    signing_key: Option<String>,
}

/// Add a channel
#[utoipa::path(post, path = "/api/v1/channels", request_body = New, responses(
    (status = 201, body = Added), (status = 400, body = Problem), (status = 401, body = Problem),
    (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn create(
    portal: web::Data<Portal>,
    principal: Signed,
    new: web::Json<New>,
) -> Answer {
    let new = new.into_inner();
    let draft = Draft {
        name: new.name,
        settings: new.settings.read()?,
        rules: new.rules.read()?,
        password: Secret::new(new.password),
    };
    if let Settings::Webhook { url } = &draft.settings {
        let url = url.parse().map_err(|_| {
            model::Error::field("url", "Give an address that begins with https://.")
        })?;
        portal
            .outbound
            .check(&url)
            .map_err(|refused| model::Error::field("url", refused.to_string()))?;
    }
    let keyring = &portal.consent.connection.keyring;
    let (id, key) = channel::create(&principal.scope, keyring, &draft).await?;
    let made = channel::get(&principal.scope, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Created()
        .insert_header(("location", format!("/api/v1/channels/{id}")))
        .json(Added {
            channel: made.into(),
            signing_key: key.map(|key| key.expose().to_owned()),
        }))
}

/// One channel
#[utoipa::path(get, path = "/api/v1/channels/{id}", params(("id" = Uuid, Path)), responses(
    (status = 200, body = View), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem)))]
pub(crate) async fn get(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    let found = channel::get(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Ok().json(View::from(found)))
}

/// Change which notifications a channel takes
#[utoipa::path(patch, path = "/api/v1/channels/{id}", params(("id" = Uuid, Path)),
    request_body = RulesView, responses((status = 200, body = View), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn update(
    principal: Signed,
    id: web::Path<ChannelId>,
    rules: web::Json<RulesView>,
) -> Answer {
    let rules = rules.into_inner().read()?;
    channel::set_rules(&principal.scope, *id, &rules)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    get(principal, id).await
}

/// Remove a channel with its secret
#[utoipa::path(delete, path = "/api/v1/channels/{id}", params(("id" = Uuid, Path)), responses(
    (status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn delete(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    channel::remove(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Something that a channel sent, or is to send.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    /// It stays the same when it is sent again.
    id: Uuid,
    #[schema(example = "alert.opened")]
    event: String,
    subject: String,
    /// `waiting` (for the digest), `queued`, `sending`, `sent`, `failed` or `digested`.
    state: &'static str,
    attempts: i64,
    error: Option<String>,
    created_at: String,
    sent_at: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(one: Delivery) -> Self {
        Self {
            id: one.id.0,
            event: one.event,
            subject: one.subject,
            state: one.state.as_str(),
            attempts: one.attempts,
            error: one.error,
            created_at: one.created_at.rfc3339(),
            sent_at: one.sent_at.map(Timestamp::rfc3339),
        }
    }
}

/// What a channel sent and is to send, newest first
#[utoipa::path(get, path = "/api/v1/channels/{id}/deliveries", params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<DeliveryView>), (status = 400, body = Problem),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
pub(crate) async fn deliveries(
    request: HttpRequest,
    principal: Signed,
    id: web::Path<ChannelId>,
) -> Answer {
    let paging: Paging = query(&request)?;
    let scope = &principal.scope;
    channel::get(scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    let found = delivery::list(scope, *id, paging.window()?).await?;
    paging.page(found, DeliveryView::from)
}

/// Send a test
#[utoipa::path(post, path = "/api/v1/channels/{id}/tests", params(("id" = Uuid, Path)), responses(
    (status = 202, body = DeliveryView), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(crate) async fn test(principal: Signed, id: web::Path<ChannelId>) -> Answer {
    let made = delivery::test(&principal.scope, *id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::Accepted().json(DeliveryView::from(made)))
}

/// Send a delivery again that was given up
#[utoipa::path(post, path = "/api/v1/channels/{id}/deliveries/{delivery_id}/retry",
    params(("id" = Uuid, Path), ("delivery_id" = Uuid, Path)), responses((status = 204),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem)))]
pub(crate) async fn resend(principal: Signed, ids: web::Path<(ChannelId, DeliveryId)>) -> Answer {
    let (channel, id) = ids.into_inner();
    delivery::resend(&principal.scope, channel, id)
        .await?
        .ok_or(ApiProblem::NotFound)?;
    Ok(HttpResponse::NoContent().finish())
}
