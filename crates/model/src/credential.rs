//! Credentials: Entra application registrations that partners bring.

use keys::Keyring;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    ClientId, CredentialId, CredentialKind, CredentialState, DirectoryId, Error, Feature, Result,
    Role, Scope, SecretState, Timestamp,
    audit::{self, Target},
    data_key::DataKey,
    db::execute,
    entity::credential::{ActiveModel, Column, Entity, Model},
};

mod draft;
pub mod secret;

use draft::parse;
pub use draft::{Draft, INTERVALS, Proof, parse_guid, parse_new_secret};
use secret::NewSecret;

/// A secret that expires within this many days is "expiring".
pub const EXPIRING_DAYS: i64 = 30;

/// A credential without its secret.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Id.
    pub id: CredentialId,
    /// Kind.
    pub kind: CredentialKind,
    /// Name.
    pub name: String,
    /// Name of the cloud in the configuration's table.
    pub cloud: String,
    /// The tenant that holds the registration.
    pub directory_id: DirectoryId,
    /// The registration's application id.
    pub client_id: ClientId,
    /// Grows with each new secret.
    pub secret_version: i64,
    /// When the secret ends, where entered.
    pub secret_expires_at: Option<Timestamp>,
    /// Stored state.
    pub state: CredentialState,
    /// Minutes between scheduled syncs.
    pub sync_interval_minutes: i64,
    /// Last time Microsoft gave a token.
    pub last_success_at: Option<Timestamp>,
    /// Last time it did not.
    pub last_error_at: Option<Timestamp>,
    /// Microsoft's code then.
    pub last_error_code: Option<String>,
    /// And what it means, in our words.
    pub last_error: Option<String>,
    /// Made at.
    pub created_at: Timestamp,
    /// Changed by a person at.
    pub updated_at: Timestamp,
    /// Revoked at.
    pub revoked_at: Option<Timestamp>,
    /// What it is used for beside reading the directory.
    pub features: Vec<Feature>,
    /// Who authorised a delegated connection: a user name, for people to read.
    pub authorised_as: Option<String>,
    /// When.
    pub authorised_at: Option<Timestamp>,
    /// The mailbox that mail is sent from; empty when none was entered.
    pub mail_from: String,
    /// To whom; empty when nobody was entered.
    pub mail_to: String,
}

impl From<Model> for Credential {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            name: row.name,
            cloud: row.cloud,
            directory_id: row.directory_id,
            client_id: row.client_id,
            secret_version: row.secret_version,
            secret_expires_at: row.secret_expires_at,
            state: row.state,
            sync_interval_minutes: row.sync_interval_minutes,
            last_success_at: row.last_success_at,
            last_error_at: row.last_error_at,
            last_error_code: row.last_error_code,
            last_error: row.last_error,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revoked_at: row.revoked_at,
            features: serde_json::from_str(&row.features).unwrap_or_default(),
            authorised_as: row.authorised_as,
            authorised_at: row.authorised_at,
            mail_from: row.mail_from,
            mail_to: row.mail_to,
        }
    }
}

impl Credential {
    /// Whether a feature is switched on.
    pub fn uses(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// The state that people see: the stored one, or what the secret's end makes of it.
    pub fn shown_state(&self, now: Timestamp) -> &'static str {
        let live = matches!(
            self.state,
            CredentialState::Active | CredentialState::Failing
        );
        match self.secret_expires_at {
            Some(end) if live && end <= now => "expired",
            Some(end) if live && end <= now.plus_minutes(EXPIRING_DAYS * 24 * 60) => "expiring",
            _ => self.state.as_str(),
        }
    }
}

/// Saves a new credential as a draft.
///
/// # Errors
/// [`Error::Invalid`] naming each wrong field, also for a registration that is here already.
pub async fn create(
    scope: &Scope,
    keyring: &Keyring,
    clouds: &[String],
    draft: &Draft,
) -> Result<Credential> {
    scope.require_everywhere(Role::Admin)?;
    // Opening a file may be slow work.
    let typed = (draft.clone(), clouds.to_vec());
    let parsed = tokio::task::spawn_blocking(move || parse(&typed.0, &typed.1, true)).await;
    let mut parsed = parsed.map_err(|e| Error::Stored(e.to_string()))??;
    let secret = match parsed.secret.take() {
        Some(secret) => secret,
        None => NewSecret::make_certificate(&parsed.name, scope.now()).await?,
    };
    let id = CredentialId::generate(scope.db().clock());
    let now = scope.now();
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let inserted = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        kind: Set(parsed.kind),
        name: Set(parsed.name.clone()),
        cloud: Set(draft.cloud.clone()),
        directory_id: Set(parsed.directory_id),
        client_id: Set(parsed.client_id),
        secret_version: Set(1),
        secret_expires_at: Set(secret.expires_at()),
        state: Set(CredentialState::Draft),
        sync_interval_minutes: Set(parsed.sync_interval_minutes),
        last_success_at: Set(None),
        last_error_at: Set(None),
        last_error_code: Set(None),
        last_error: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
        revoked_at: Set(None),
        features: Set(words(&parsed.features)?),
        authorised_as: Set(None),
        authorised_at: Set(None),
        mail_from: Set(String::new()),
        mail_to: Set(String::new()),
    }
    .insert(&tx.conn)
    .await;
    let row = match inserted {
        Err(e) if Error::is_unique(&e) => return Err(already_here()),
        other => other?,
    };
    secret::insert(
        &tx,
        scope,
        (keyring, &data_key),
        id,
        &secret,
        SecretState::Current,
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "credential.create",
        Target::new("credential", id, &parsed.name),
        json!({
            "kind": parsed.kind, "cloud": draft.cloud, "directory_id": parsed.directory_id,
            "client_id": parsed.client_id, "secret_expires_at": secret.expires_at(),
            "features": parsed.features,
            "thumbprint": secret.certificate().map(keys::Certificate::thumbprint),
        }),
    )
    .await?;
    tx.commit().await?;
    Ok(row.into())
}

fn words(features: &[Feature]) -> Result<String> {
    serde_json::to_string(features).map_err(|e| Error::Stored(e.to_string()))
}

fn already_here() -> Error {
    Error::field(
        "client_id",
        "This registration is a credential already. Edit that one instead, or revoke it first.",
    )
}

/// Changes name, features, interval and the day on which the secret ends; the secret itself is
/// renewed by [`secret::replace`]. The registration's ids and cloud can be mended until a tenant
/// has consented: after that another registration is another credential.
pub async fn edit(
    scope: &Scope,
    clouds: &[String],
    id: CredentialId,
    draft: &Draft,
) -> Result<Option<Credential>> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(row) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(None);
    };
    if row.revoked_at.is_some() {
        return Err(Error::Conflict(
            "This credential is revoked. Add the registration again as a new one.".into(),
        ));
    }
    let mut draft = Draft {
        kind: row.kind.to_string(),
        ..draft.clone()
    };
    let unused = is_unused(&row);
    if !unused {
        draft.cloud.clone_from(&row.cloud);
        draft.directory_id = row.directory_id.to_string();
        draft.client_id = row.client_id.to_string();
    }
    let parsed = parse(&draft, clouds, false)?;
    let features = words(&parsed.features)?;
    let facts = |row: &Model| {
        json!({ "name": row.name, "cloud": row.cloud, "directory_id": row.directory_id,
            "client_id": row.client_id, "secret_expires_at": row.secret_expires_at,
            "features": row.features, "sync_interval_minutes": row.sync_interval_minutes })
    };
    let before = facts(&row);
    if row.sync_interval_minutes != parsed.sync_interval_minutes {
        // Slots are counted in intervals: those of another length are other numbers.
        crate::run::plan::renumber(&tx, scope, id, parsed.sync_interval_minutes).await?;
    }
    let has_certificate = secret_is_certificate(&tx, scope, id).await?;
    let expires_at = if has_certificate {
        row.secret_expires_at
    } else {
        parsed.secret_expires_at
    };
    let mut active: ActiveModel = row.into();
    active.name = Set(parsed.name.clone());
    active.cloud = Set(draft.cloud.clone());
    active.directory_id = Set(parsed.directory_id);
    active.client_id = Set(parsed.client_id);
    active.secret_expires_at = Set(expires_at);
    active.features = Set(features);
    active.sync_interval_minutes = Set(parsed.sync_interval_minutes);
    active.updated_at = Set(scope.now());
    let row = match active.update(&tx.conn).await {
        Err(e) if Error::is_unique(&e) => return Err(already_here()),
        other => other?,
    };
    audit::append(
        &tx,
        scope,
        "credential.edit",
        Target::new("credential", id, &parsed.name),
        json!({ "before": before, "after": facts(&row) }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(row.into()))
}

/// Whether the registration's ids may still be mended.
fn is_unused(row: &Model) -> bool {
    row.last_success_at.is_none()
        && matches!(
            row.state,
            CredentialState::Draft | CredentialState::AwaitingConsent | CredentialState::Failing
        )
}

impl Credential {
    /// Whether the registration's ids may still be mended: nothing was ever read with it.
    pub fn is_unused(&self) -> bool {
        self.last_success_at.is_none() && self.revoked_at.is_none()
    }
}

async fn secret_is_certificate(
    tx: &crate::db::Tx,
    scope: &Scope,
    id: CredentialId,
) -> Result<bool> {
    Ok(crate::db::query_one(
        &tx.conn,
        "SELECT id FROM credential_secrets WHERE partner_id = $1 AND credential_id = $2
            AND state = 'current' AND kind = 'certificate'",
        vec![scope.partner().into(), id.into()],
    )
    .await?
    .is_some())
}

/// Sets the mailbox that mail is sent from, and to whom. `false` when there is no such credential.
///
/// # Errors
/// [`Error::Invalid`] for what is no address.
pub async fn set_mail(scope: &Scope, id: CredentialId, from: &str, to: &str) -> Result<bool> {
    scope.require_everywhere(Role::Admin)?;
    let (from, to) = (from.trim(), to.trim());
    let errors: Vec<crate::FieldError> = [("mail_from", from), ("mail_to", to)]
        .into_iter()
        .filter(|(_, text)| !crate::member::is_mailbox(text))
        .map(|(field, _)| crate::FieldError {
            field,
            message: "Enter one e-mail address, for example reports@example.com.".into(),
        })
        .collect();
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let tx = scope.begin().await?;
    let changed = execute(
        &tx.conn,
        "UPDATE credentials SET mail_from = $1, mail_to = $2, updated_at = $3
         WHERE partner_id = $4 AND id = $5 AND revoked_at IS NULL",
        vec![
            from.into(),
            to.into(),
            scope.now().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    if changed == 0 {
        return Ok(false);
    }
    audit::append(
        &tx,
        scope,
        "credential.mail",
        Target::new("credential", id, ""),
        json!({ "from": from, "to": to }),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// All credentials of the partner, by name.
pub async fn list(scope: &Scope) -> Result<Vec<Credential>> {
    Ok(scope
        .find::<Entity>()
        .order_by_asc(Column::Name)
        .all(&scope.conn())
        .await?
        .into_iter()
        .map(Into::into)
        .collect())
}

/// One credential.
pub async fn get(scope: &Scope, id: CredentialId) -> Result<Option<Credential>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?
        .map(Into::into))
}

/// Notes what Microsoft answered to the credential itself: `Ok`, or its code and our words for it.
pub async fn note_result(
    scope: &Scope,
    id: CredentialId,
    result: std::result::Result<(), (&str, &str)>,
) -> Result<()> {
    let now = scope.now();
    let conn = &scope.writer();
    match result {
        Ok(()) => {
            execute(
                conn,
                // Thousands of runs a day use one credential: to the minute is near enough.
                "UPDATE credentials SET state = 'active', last_success_at = $1
                 WHERE partner_id = $2 AND id = $3 AND state <> 'revoked'
                    AND (state <> 'active' OR last_success_at IS NULL OR last_success_at < $4)",
                vec![
                    now.into(),
                    scope.partner().into(),
                    id.into(),
                    now.plus_minutes(-1).into(),
                ],
            )
            .await?
        }
        Err((code, text)) => {
            execute(
                conn,
                "UPDATE credentials SET state = 'failing', last_error_at = $1,
                    last_error_code = $2, last_error = $3
                 WHERE partner_id = $4 AND id = $5 AND state <> 'revoked'",
                vec![
                    now.into(),
                    code.into(),
                    text.into(),
                    scope.partner().into(),
                    id.into(),
                ],
            )
            .await?
        }
    };
    Ok(())
}

/// Whether the credential exists and is not revoked, inside the caller's transaction.
pub(crate) async fn is_live(tx: &crate::db::Tx, scope: &Scope, id: CredentialId) -> Result<bool> {
    Ok(Entity::find_by_id((scope.partner(), id))
        .filter(Column::RevokedAt.is_null())
        .one(&tx.conn)
        .await?
        .is_some())
}

/// Draft → awaiting consent, when a consent request begins.
pub(crate) async fn awaiting_consent(
    tx: &crate::db::Tx,
    scope: &Scope,
    id: CredentialId,
) -> Result<()> {
    execute(
        &tx.conn,
        "UPDATE credentials SET state = 'awaiting_consent'
         WHERE partner_id = $1 AND id = $2 AND state = 'draft'",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    Ok(())
}

/// Destroys the secret and its key, cancels open runs and marks the tenants disconnected. History
/// stays readable. `false` when there is no such credential.
pub async fn revoke(scope: &Scope, id: CredentialId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(row) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(false);
    };
    let (partner, now) = (scope.partner(), scope.now());
    execute(
        &tx.conn,
        "UPDATE credentials SET state = 'revoked', revoked_at = $1, updated_at = $1
         WHERE partner_id = $2 AND id = $3",
        vec![now.into(), partner.into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "DELETE FROM credential_secrets WHERE partner_id = $1 AND credential_id = $2",
        vec![partner.into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE tenants SET state = 'disconnected', last_error = 'The credential was revoked.',
            last_error_code = NULL
         WHERE partner_id = $1 AND credential_id = $2 AND state = 'consented'",
        vec![partner.into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE consent_links SET withdrawn_at = $1
         WHERE partner_id = $2 AND credential_id = $3 AND withdrawn_at IS NULL AND used_at IS NULL",
        vec![now.into(), partner.into(), id.into()],
    )
    .await?;
    crate::run::cancel_for_credential(&tx, scope, id).await?;
    audit::append(
        &tx,
        scope,
        "credential.revoke",
        Target::new("credential", id, &row.name),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    scope.db().scrub().await;
    Ok(true)
}

/// Removes a revoked credential that no mapping refers to, with its tenants and its requests. The
/// audit log keeps what was done with it.
///
/// # Errors
/// [`Error::Conflict`] before it is revoked, and while a mapping's history refers to it.
pub async fn delete(scope: &Scope, id: CredentialId) -> Result<bool> {
    scope.require(Role::Owner)?;
    let tx = scope.begin().await?;
    let Some(row) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(false);
    };
    if row.revoked_at.is_none() {
        return Err(Error::Conflict(
            "Revoke this credential first: that destroys its secret and stops its jobs.".into(),
        ));
    }
    let partner = scope.partner();
    let history = crate::db::query_one(
        &tx.conn,
        "SELECT id FROM mappings WHERE partner_id = $1 AND credential_id = $2 LIMIT 1",
        vec![partner.into(), id.into()],
    )
    .await?;
    if history.is_some() {
        return Err(Error::Conflict(
            "Companies were synced with this credential, and their history stays readable until \
             the retention window ends. It can be deleted after that."
                .into(),
        ));
    }
    for table in [
        "connection_tests",
        "authorisations",
        "consent_requests",
        "consent_links",
        "tenants",
    ] {
        execute(
            &tx.conn,
            &format!("DELETE FROM {table} WHERE partner_id = $1 AND credential_id = $2"),
            vec![partner.into(), id.into()],
        )
        .await?;
    }
    execute(
        &tx.conn,
        "DELETE FROM credentials WHERE partner_id = $1 AND id = $2",
        vec![partner.into(), id.into()],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "credential.delete",
        Target::new("credential", id, &row.name),
        json!({ "client_id": row.client_id, "directory_id": row.directory_id }),
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}
