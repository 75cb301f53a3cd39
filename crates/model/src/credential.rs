//! Credentials: Entra application registrations with a sealed secret that is written, never shown.

use keys::{Keyring, Place, Sealed, Secret};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::{
    ClientId, CredentialId, CredentialKind, CredentialState, DirectoryId, Error, Result, Role,
    Scope, Timestamp,
    audit::{self, Target},
    db::execute,
    entity::credential::{ActiveModel, Column, Entity, Model},
    partner,
};

mod draft;

use draft::parse;
pub use draft::{Draft, parse_guid};

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
    /// Grows with each new secret: part of the key under which tokens are cached.
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
    /// Revoked at.
    pub revoked_at: Option<Timestamp>,
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
            revoked_at: row.revoked_at,
        }
    }
}

impl Credential {
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
    scope.require(Role::Admin)?;
    let parsed = parse(draft, clouds, true)?;
    let id = CredentialId::generate(scope.db().clock());
    let now = scope.now();
    let tx = scope.begin().await?;
    let (data_key, key_version) =
        partner::data_key(&tx.conn, keyring, scope.partner(), None).await?;
    let secret = parsed.secret.as_ref().map_or("", Secret::expose);
    let (content_key, sealed) = keyring.seal(&data_key, place(scope, id), secret.as_bytes())?;
    let inserted = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        kind: Set(CredentialKind::MultiTenant),
        name: Set(parsed.name.clone()),
        cloud: Set(draft.cloud.clone()),
        directory_id: Set(parsed.directory_id),
        client_id: Set(parsed.client_id),
        secret: Set(Some(sealed.as_bytes().to_vec())),
        content_key: Set(Some(content_key.as_bytes().to_vec())),
        key_version: Set(key_version),
        secret_version: Set(1),
        secret_expires_at: Set(parsed.secret_expires_at),
        state: Set(CredentialState::Draft),
        sync_interval_minutes: Set(24 * 60),
        last_success_at: Set(None),
        last_error_at: Set(None),
        last_error_code: Set(None),
        last_error: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
        revoked_at: Set(None),
    }
    .insert(&tx.conn)
    .await;
    let row = match inserted {
        Err(e) if Error::is_unique(&e) => return Err(already_here()),
        other => other?,
    };
    audit::append(
        &tx,
        scope,
        "credential.create",
        Target::new("credential", id, &parsed.name),
        json!({
            "cloud": draft.cloud, "directory_id": parsed.directory_id,
            "client_id": parsed.client_id, "secret_expires_at": parsed.secret_expires_at,
        }),
    )
    .await?;
    tx.commit().await?;
    Ok(row.into())
}

fn already_here() -> Error {
    Error::field(
        "client_id",
        "This registration is a credential already. Edit that one instead, or revoke it first.",
    )
}

/// Changes name, secret and its end. A registration's ids and cloud stay: another registration is
/// another credential.
pub async fn edit(
    scope: &Scope,
    keyring: &Keyring,
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
    let draft = Draft {
        cloud: row.cloud.clone(),
        directory_id: row.directory_id.to_string(),
        client_id: row.client_id.to_string(),
        ..draft.clone()
    };
    let parsed = parse(&draft, std::slice::from_ref(&row.cloud), false)?;
    let before = json!({ "name": row.name, "secret_expires_at": row.secret_expires_at });
    let mut active: ActiveModel = row.clone().into();
    active.name = Set(parsed.name.clone());
    active.secret_expires_at = Set(parsed.secret_expires_at);
    active.updated_at = Set(scope.now());
    if let Some(secret) = &parsed.secret {
        let (data_key, key_version) =
            partner::data_key(&tx.conn, keyring, scope.partner(), None).await?;
        let (content_key, sealed) =
            keyring.seal(&data_key, place(scope, id), secret.expose().as_bytes())?;
        active.secret = Set(Some(sealed.as_bytes().to_vec()));
        active.content_key = Set(Some(content_key.as_bytes().to_vec()));
        active.key_version = Set(key_version);
        active.secret_version = Set(row.secret_version + 1);
        // What was said of the old secret does not hold for the new one.
        active.last_error_at = Set(None);
        active.last_error_code = Set(None);
        active.last_error = Set(None);
        active.state = Set(match row.last_success_at {
            Some(_) => CredentialState::Active,
            None => CredentialState::AwaitingConsent,
        });
    }
    let row = active.update(&tx.conn).await?;
    audit::append(
        &tx,
        scope,
        "credential.edit",
        Target::new("credential", id, &parsed.name),
        json!({
            "before": before,
            "after": { "name": parsed.name, "secret_expires_at": parsed.secret_expires_at },
            "secret_replaced": parsed.secret.is_some(),
        }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(row.into()))
}

/// All credentials of the partner, by name.
pub async fn list(scope: &Scope) -> Result<Vec<Credential>> {
    Ok(scope
        .find::<Entity>()
        .order_by_asc(Column::Name)
        .all(scope.db().conn())
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
        .one(scope.db().conn())
        .await?
        .map(Into::into))
}

/// Opens the client secret for a token request. `None` when the credential is gone or revoked.
pub async fn open_secret(
    scope: &Scope,
    keyring: &Keyring,
    id: CredentialId,
) -> Result<Option<Secret>> {
    let conn = scope.db().conn();
    let row = Entity::find_by_id((scope.partner(), id))
        .filter(Column::RevokedAt.is_null())
        .one(conn)
        .await?;
    let Some(Model {
        secret: Some(sealed),
        content_key: Some(content_key),
        key_version,
        ..
    }) = row
    else {
        return Ok(None);
    };
    let (data_key, _) =
        partner::data_key(conn, keyring, scope.partner(), Some(key_version)).await?;
    let plain = keyring.open(
        &data_key,
        place(scope, id),
        &Sealed::from_bytes(content_key),
        &Sealed::from_bytes(sealed),
    )?;
    let text = std::str::from_utf8(&plain)
        .map_err(|_| Error::Stored("credentials.secret is not text".into()))?;
    Ok(Some(Secret::new(text)))
}

fn place(scope: &Scope, id: CredentialId) -> Place<'static> {
    Place {
        partner: scope.partner().0,
        table: "credentials",
        column: "secret",
        row: id.0,
    }
}

/// Notes what Microsoft answered to the credential itself: `Ok`, or its code and our words for it.
pub async fn note_result(
    scope: &Scope,
    id: CredentialId,
    result: std::result::Result<(), (&str, &str)>,
) -> Result<()> {
    let now = scope.now();
    let conn = scope.db().conn();
    match result {
        Ok(()) => {
            execute(
                conn,
                "UPDATE credentials SET state = 'active', last_success_at = $1
                 WHERE partner_id = $2 AND id = $3 AND state <> 'revoked'",
                vec![now.into(), scope.partner().into(), id.into()],
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
        "UPDATE credentials SET secret = NULL, content_key = NULL, state = 'revoked',
            revoked_at = $1, updated_at = $1
         WHERE partner_id = $2 AND id = $3",
        vec![now.into(), partner.into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE tenants SET state = 'disconnected' WHERE partner_id = $1 AND credential_id = $2",
        vec![partner.into(), id.into()],
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
    Ok(true)
}
