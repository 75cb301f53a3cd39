//! Channels: how a partner's notifications leave, which of them, and when.

use keys::{Keyring, Place, Secret};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Alert, AlertKind, ChannelEvent, ChannelId, ChannelKind, CompanyId, CredentialId, Error,
    FieldError, PartnerId, Result, Role, Scope, Severity, Timestamp,
    audit::{self, Target},
    data_key::{self, DataKey, SealedText},
    db::execute,
    entity::channel::{ActiveModel, Column, Entity, Model},
    member,
};

const FOR_WEBHOOKS: &str = "Only webhooks are told of more than alerts.";
/// The most recipients of one channel.
const MOST_RECIPIENTS: usize = 20;

/// How a channel of each kind reaches its other side; without the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Settings {
    /// Mail from the mailbox of a credential that has mail switched on.
    Microsoft365 {
        /// The credential.
        credential: CredentialId,
        /// Recipients.
        to: Vec<String>,
    },
    /// Mail by SMTP; the secret is the password.
    Smtp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Encryption.
        security: Security,
        /// User name, empty where none is asked for.
        username: String,
        /// Sender.
        from: String,
        /// Recipients.
        to: Vec<String>,
    },
    /// A signed request; the secret is the key of its signature.
    Webhook {
        /// Where it is sent to.
        url: String,
    },
}

/// Encryption of SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// TLS from the first byte (port 465).
    Tls,
    /// STARTTLS, or nothing is sent (port 587).
    Starttls,
    /// None: for a server on this machine or in a network that the operator allows.
    None,
}

impl Settings {
    /// Its kind.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Microsoft365 { .. } => ChannelKind::Microsoft365,
            Self::Smtp { .. } => ChannelKind::Smtp,
            Self::Webhook { .. } => ChannelKind::Webhook,
        }
    }

    /// Where it leads, for people to read.
    pub fn destination(&self) -> String {
        match self {
            Self::Microsoft365 { to, .. } | Self::Smtp { to, .. } => to.join(", "),
            Self::Webhook { url } => url.clone(),
        }
    }
}

/// A channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its partner.
    pub partner: PartnerId,
    /// Our id.
    pub id: ChannelId,
    /// Name.
    pub name: String,
    /// How it reaches its other side.
    pub settings: Settings,
    /// Which notifications it takes.
    pub rules: Rules,
    /// The last success.
    pub last_sent_at: Option<Timestamp>,
    /// The last failure, if it came after that.
    pub last_error_at: Option<Timestamp>,
    /// What it was.
    pub last_error: Option<String>,
    secret: SealedText,
}

/// Which notifications a channel takes, and when they leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Kinds of alerts; empty for all.
    pub kinds: Vec<AlertKind>,
    /// At least so severe.
    pub least_severity: Severity,
    /// Companies; `None` for all, and for what belongs to no company.
    pub companies: Option<Vec<CompanyId>>,
    /// At which hour (UTC) one digest a day leaves; `None` for each at once.
    pub digest_hour: Option<i64>,
    /// What a webhook is told of beside alerts, each at once.
    pub events: Vec<ChannelEvent>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            kinds: vec![],
            least_severity: Severity::Info,
            companies: None,
            digest_hour: None,
            events: vec![],
        }
    }
}

impl Rules {
    /// Whether anything of a company is told, or, for `None`, of what belongs to none.
    pub(crate) fn tell_of(&self, company: Option<CompanyId>) -> bool {
        match (&self.companies, company) {
            (None, _) => true,
            (Some(chosen), Some(company)) => chosen.contains(&company),
            (Some(_), None) => false,
        }
    }

    /// Whether an alert is told.
    pub fn take(&self, alert: &Alert) -> bool {
        self.tell_of(alert.company_id)
            && alert.severity >= self.least_severity
            && (self.kinds.is_empty() || self.kinds.contains(&alert.kind))
    }
}

impl TryFrom<Model> for Channel {
    type Error = Error;

    fn try_from(row: Model) -> Result<Self> {
        let stored =
            |what: &str, e: serde_json::Error| Error::Stored(format!("channels.{what}: {e}"));
        Ok(Self {
            partner: row.partner_id,
            id: row.id,
            name: row.name,
            settings: serde_json::from_str(&row.settings).map_err(|e| stored("settings", e))?,
            rules: Rules {
                kinds: serde_json::from_str(&row.kinds).map_err(|e| stored("kinds", e))?,
                least_severity: row.least_severity,
                companies: row
                    .companies
                    .map(|json| serde_json::from_str(&json))
                    .transpose()
                    .map_err(|e| stored("companies", e))?,
                digest_hour: row.digest_hour,
                events: serde_json::from_str(&row.events).map_err(|e| stored("events", e))?,
            },
            last_sent_at: row.last_sent_at,
            last_error_at: row.last_error_at,
            last_error: row.last_error,
            secret: SealedText {
                version: row.key_version,
                wrapped: row.wrapped,
                sealed: row.sealed,
            },
        })
    }
}

/// What somebody types.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// How it reaches its other side.
    pub settings: Settings,
    /// Which notifications it takes.
    pub rules: Rules,
    /// The password of SMTP. A webhook's key is made here and shown once.
    pub password: Secret,
}

/// Checks what was typed.
///
/// # Errors
/// [`Error::Invalid`] with every field that is wrong.
pub fn check(draft: &Draft) -> Result<()> {
    let mut errors = Vec::new();
    let mut wrong = |field, message: &str| {
        errors.push(FieldError {
            field,
            message: message.into(),
        });
    };
    let name = draft.name.trim();
    if name.is_empty() || name.chars().count() > 60 || name.chars().any(char::is_control) {
        wrong("name", "Enter a name of at most 60 characters.");
    }
    if draft
        .rules
        .digest_hour
        .is_some_and(|hour| !(0..24).contains(&hour))
    {
        wrong("digest_hour", "Choose an hour from 0 to 23.");
    }
    if draft.rules.companies.as_ref().is_some_and(Vec::is_empty) {
        wrong("company", "Choose at least one company, or all of them.");
    }
    if !draft.rules.events.is_empty() && draft.settings.kind() != ChannelKind::Webhook {
        wrong("events", FOR_WEBHOOKS);
    }
    match &draft.settings {
        Settings::Microsoft365 { to, .. } => check_recipients(to, &mut wrong),
        Settings::Smtp {
            host,
            port,
            username,
            from,
            to,
            ..
        } => {
            check_recipients(to, &mut wrong);
            if !member::is_mailbox(from) {
                wrong(
                    "from",
                    "Enter the sender's address, such as alerts@example.com.",
                );
            }
            let is_host =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
            if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
                wrong("host", "Enter the server's name, such as smtp.example.com.");
            }
            if *port == 0 {
                wrong("port", "Enter a port from 1 to 65535.");
            }
            let long = |text: &str| text.len() > 300 || text.chars().any(char::is_control);
            if long(username) {
                wrong("username", "At most 300 characters.");
            }
            if long(draft.password.expose()) {
                wrong("password", "At most 300 characters.");
            }
        }
        Settings::Webhook { url } => {
            if url.len() > 2000 || url.chars().any(char::is_control) {
                wrong("url", "Enter an address of at most 2,000 characters.");
            }
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(errors)),
    }
}

fn check_recipients(to: &[String], wrong: &mut impl FnMut(&'static str, &str)) {
    if to.is_empty() || to.len() > MOST_RECIPIENTS {
        wrong(
            "to",
            "Enter one to twenty addresses, with commas between them.",
        );
    } else if let Some(bad) = to.iter().find(|to| !member::is_mailbox(to)) {
        wrong("to", &format!("{bad} is no address of a mailbox."));
    }
}

pub(crate) fn place(partner: PartnerId, id: ChannelId) -> Place<'static> {
    Place {
        partner: partner.0,
        table: "channels",
        column: "sealed",
        row: id.0,
    }
}

/// Adds a channel; answers it and, for a webhook, the key of its signature, which is never shown again.
pub async fn create(
    scope: &Scope,
    keyring: &Keyring,
    draft: &Draft,
) -> Result<(ChannelId, Option<Secret>)> {
    scope.require_everywhere(Role::Admin)?;
    check(draft)?;
    let id = ChannelId::generate(scope.db().clock());
    let key = match draft.settings {
        Settings::Webhook { .. } => Some(Secret::new(format!("whsec_{}", keys::random_token()?))),
        _ => None,
    };
    let secret = key.clone().unwrap_or_else(|| draft.password.clone());
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    if let Settings::Microsoft365 { credential, .. } = &draft.settings {
        let found = scope
            .find::<crate::entity::credential::Entity>()
            .filter(crate::entity::credential::Column::Id.eq(*credential))
            .filter(crate::entity::credential::Column::RevokedAt.is_null())
            .one(&tx.conn)
            .await?;
        if found.is_none() {
            return Err(Error::field("credential", "Choose a credential."));
        }
    }
    let place = place(scope.partner(), id);
    let (wrapped, sealed) = data_key
        .seal(&tx, keyring, place, secret.expose().as_bytes())
        .await?;
    let rules = &draft.rules;
    ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        kind: Set(draft.settings.kind()),
        name: Set(draft.name.trim().to_owned()),
        settings: Set(json!(draft.settings).to_string()),
        key_version: Set(data_key.version),
        wrapped: Set(wrapped.as_bytes().to_vec()),
        sealed: Set(sealed.as_bytes().to_vec()),
        kinds: Set(json!(rules.kinds).to_string()),
        least_severity: Set(rules.least_severity),
        events: Set(json!(rules.events).to_string()),
        companies: Set(rules.companies.as_ref().map(|c| json!(c).to_string())),
        digest_hour: Set(rules.digest_hour),
        digested_day: Set(None),
        created_at: Set(scope.now()),
        removed_at: Set(None),
        last_sent_at: Set(None),
        last_error_at: Set(None),
        last_error: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "channel.create",
        Target::new("channel", id, draft.name.trim()),
        json!({ "settings": draft.settings, "kinds": rules.kinds, "least_severity": rules.least_severity,
                "companies": rules.companies, "digest_hour": rules.digest_hour, "events": rules.events }),
    )
    .await?;
    tx.commit().await?;
    Ok((id, key))
}

/// Changes which notifications a channel takes, and when. `None` when there is none.
pub async fn set_rules(scope: &Scope, id: ChannelId, rules: &Rules) -> Result<Option<()>> {
    scope.require_everywhere(Role::Admin)?;
    if rules
        .digest_hour
        .is_some_and(|hour| !(0..24).contains(&hour))
    {
        return Err(Error::field("digest_hour", "Choose an hour from 0 to 23."));
    }
    if rules.companies.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::field(
            "company",
            "Choose at least one company, or all of them.",
        ));
    }
    let Some(channel) = get(scope, id).await? else {
        return Ok(None);
    };
    if !rules.events.is_empty() && channel.settings.kind() != ChannelKind::Webhook {
        return Err(Error::field("events", FOR_WEBHOOKS));
    }
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE channels SET kinds = $1, least_severity = $2, companies = $3, digest_hour = $4,
            events = $7
         WHERE partner_id = $5 AND id = $6 AND removed_at IS NULL",
        vec![
            json!(rules.kinds).to_string().into(),
            rules.least_severity.as_str().into(),
            rules
                .companies
                .as_ref()
                .map(|c| json!(c).to_string())
                .into(),
            rules.digest_hour.into(),
            scope.partner().into(),
            id.into(),
            json!(rules.events).to_string().into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Ok(None);
    }
    // What waits for a digest that will not come leaves at once.
    if rules.digest_hour.is_none() {
        execute(
            &tx.conn,
            "UPDATE deliveries SET state = 'queued'
             WHERE partner_id = $1 AND channel_id = $2 AND state = 'waiting'",
            vec![scope.partner().into(), id.into()],
        )
        .await?;
    }
    audit::append(
        &tx,
        scope,
        "channel.edit",
        Target::new("channel", id, channel.name),
        json!({ "kinds": rules.kinds, "least_severity": rules.least_severity,
                "companies": rules.companies, "digest_hour": rules.digest_hour, "events": rules.events }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// The scope's channels, oldest first.
pub async fn list(scope: &Scope) -> Result<Vec<Channel>> {
    scope.require_everywhere(Role::Auditor)?;
    all(scope, &scope.conn()).await
}

pub(crate) async fn all(
    scope: &Scope,
    conn: &impl sea_orm::ConnectionTrait,
) -> Result<Vec<Channel>> {
    Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::CreatedAt)
        .all(conn)
        .await?
        .into_iter()
        .map(Channel::try_from)
        .collect()
}

/// One channel.
pub async fn get(scope: &Scope, id: ChannelId) -> Result<Option<Channel>> {
    scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::RemovedAt.is_null())
        .one(&scope.conn())
        .await?
        .map(Channel::try_from)
        .transpose()
}

/// Removes a channel with its secret; what it has sent stays listed, and what it has not is not sent.
pub async fn remove(scope: &Scope, id: ChannelId) -> Result<Option<()>> {
    scope.require_everywhere(Role::Admin)?;
    let Some(channel) = get(scope, id).await? else {
        return Ok(None);
    };
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE channels SET removed_at = $1, wrapped = $2, sealed = $2
         WHERE partner_id = $3 AND id = $4 AND removed_at IS NULL",
        vec![
            scope.now().into(),
            Vec::<u8>::new().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE deliveries SET state = 'failed', error = 'The channel was removed.'
         WHERE partner_id = $1 AND channel_id = $2 AND state IN ('waiting', 'queued', 'sending')",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    crate::report_schedule::end_for_channel(&tx, scope, id).await?;
    execute(
        &tx.conn,
        "UPDATE contact_forms SET is_on = 0 WHERE partner_id = $1 AND channel_id = $2",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    let target = Target::new("channel", id, channel.name);
    audit::append(&tx, scope, "channel.remove", target, json!({})).await?;
    tx.commit().await?;
    scope.db().scrub().await;
    Ok(Some(()))
}

/// The channel's secret, for the one request that needs it.
pub async fn secret(scope: &Scope, keyring: &Keyring, channel: &Channel) -> Result<Secret> {
    let place = place(channel.partner, channel.id);
    data_key::open(
        scope.db(),
        keyring,
        place,
        channel.secret.clone(),
        || async { Ok(get(scope, channel.id).await?.map(|now| now.secret)) },
    )
    .await
}
