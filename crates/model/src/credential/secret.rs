//! What a credential proves itself with: sealed, several at a time, written and never shown.
//!
//! A new one is `pending` until its certificate is uploaded, `current` when it is used, and
//! `previous` for a day after it was replaced, because a sync in flight or a slow replica of
//! Microsoft may still want it.

use keys::{Certificate, CertificateKey, Keyring, Place, Sealed, Secret};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    CredentialId, CredentialSecretId, CredentialState, Db, Error, Result, Role, Scope, SecretKind,
    SecretState, Timestamp,
    audit::{self, Target},
    data_key::DataKey,
    db::{Tx, execute},
    entity::{
        credential,
        credential_secret::{ActiveModel, Column, Entity, Model},
    },
};

/// How long a replaced secret is kept.
const KEEP_MINUTES: i64 = 24 * 60;
/// Days that a certificate made here is valid.
const CERTIFICATE_DAYS: i64 = 730;

/// A secret that is not stored yet.
#[derive(Debug, Clone)]
pub enum NewSecret {
    /// A client secret's value and when it ends, where known.
    ClientSecret {
        /// The value.
        value: Secret,
        /// When it ends.
        expires_at: Option<Timestamp>,
    },
    /// A certificate with its private key.
    Certificate(CertificateKey),
    /// The refresh token of a person who authorised.
    RefreshToken(Secret),
}

impl NewSecret {
    fn kind(&self) -> SecretKind {
        match self {
            Self::ClientSecret { .. } => SecretKind::ClientSecret,
            Self::Certificate(_) => SecretKind::Certificate,
            Self::RefreshToken(_) => SecretKind::RefreshToken,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::ClientSecret { value, .. } | Self::RefreshToken(value) => {
                value.expose().as_bytes()
            }
            Self::Certificate(pair) => &pair.private_key,
        }
    }

    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Certificate(pair) => Some(&pair.certificate),
            _ => None,
        }
    }

    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::ClientSecret { expires_at, .. } => *expires_at,
            Self::Certificate(pair) => Some(Timestamp(pair.certificate.not_after * 1000)),
            Self::RefreshToken(_) => None,
        }
    }

    /// Makes a certificate for a credential of this name.
    pub async fn make_certificate(name: &str, now: Timestamp) -> Result<Self> {
        let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
        let pair = tokio::task::spawn_blocking(move || {
            CertificateKey::generate(&name, now.0 / 1000, CERTIFICATE_DAYS)
        })
        .await
        .map_err(|e| Error::Stored(e.to_string()))??;
        Ok(Self::Certificate(pair))
    }
}

/// What may be known of a stored secret.
#[derive(Debug, Clone)]
pub struct SecretFacts {
    /// Id.
    pub id: CredentialSecretId,
    /// Kind.
    pub kind: SecretKind,
    /// Which of several.
    pub state: SecretState,
    /// SHA-1 of a certificate in upper-case hexadecimal, as Entra shows it.
    pub thumbprint: Option<String>,
    /// The public certificate in DER.
    pub certificate: Option<Vec<u8>>,
    /// When it ends, where known.
    pub expires_at: Option<Timestamp>,
    /// Stored at.
    pub created_at: Timestamp,
    /// Replaced at.
    pub replaced_at: Option<Timestamp>,
}

/// An opened secret. Dropped, it is wiped.
#[derive(Clone)]
pub struct Opened {
    /// Id.
    pub id: CredentialSecretId,
    /// Kind.
    pub kind: SecretKind,
    /// Text of a secret or token, PKCS#8 of a certificate.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The public certificate in DER.
    pub certificate: Option<Vec<u8>>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opened({})", self.kind)
    }
}

impl Opened {
    /// The text of a secret or token.
    ///
    /// # Errors
    /// [`Error::Stored`] when it is none.
    pub fn text(&self) -> Result<Zeroizing<String>> {
        std::str::from_utf8(&self.bytes)
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|_| Error::Stored("a stored secret is no text".into()))
    }
}

pub(crate) fn place(
    scope: &Scope,
    credential: CredentialId,
    id: CredentialSecretId,
) -> Place<'static> {
    // Secrets of the first version of the schema moved here under the credential's id.
    let (table, column) = if id.0 == credential.0 {
        ("credentials", "secret")
    } else {
        ("credential_secrets", "sealed")
    };
    Place {
        partner: scope.partner().0,
        table,
        column,
        row: id.0,
    }
}

/// All secrets of a credential, the one in use first; the values stay sealed.
pub async fn list(scope: &Scope, credential: CredentialId) -> Result<Vec<SecretFacts>> {
    let mut rows = scope
        .find::<Entity>()
        .filter(Column::CredentialId.eq(credential))
        .filter(Column::Kind.ne(SecretKind::RefreshToken))
        .order_by_desc(Column::CreatedAt)
        .all(&scope.conn())
        .await?;
    rows.sort_by_key(|r| match r.state {
        SecretState::Current => 0,
        SecretState::Pending => 1,
        SecretState::Previous => 2,
    });
    Ok(rows
        .into_iter()
        .map(|r| SecretFacts {
            id: r.id,
            kind: r.kind,
            state: r.state,
            thumbprint: r.thumbprint,
            certificate: r.certificate,
            expires_at: r.expires_at,
            created_at: r.created_at,
            replaced_at: r.replaced_at,
        })
        .collect())
}

/// Opens what token requests are made with: current, then previous; the application's own and
/// refresh tokens alike. Empty when the credential is gone or revoked.
pub async fn open(scope: &Scope, keyring: &Keyring, id: CredentialId) -> Result<Vec<Opened>> {
    let conn = &scope.conn();
    let live = credential::Entity::find_by_id((scope.partner(), id))
        .filter(credential::Column::RevokedAt.is_null())
        .one(conn)
        .await?;
    if live.is_none() {
        return Ok(vec![]);
    }
    let mut rows = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::CredentialId.eq(id))
        .filter(Column::State.ne(SecretState::Pending))
        .all(conn)
        .await?;
    rows.sort_by_key(|r| r.state == SecretState::Previous);
    let mut opened = Vec::with_capacity(rows.len());
    for row in rows {
        opened.push(open_row(scope, keyring, row).await?);
    }
    Ok(opened)
}

/// Opens a certificate that waits for its upload, to try it before it is used.
pub async fn open_pending(
    scope: &Scope,
    keyring: &Keyring,
    credential: CredentialId,
    id: CredentialSecretId,
) -> Result<Option<Opened>> {
    match find(scope, id).await? {
        Some(row) if row.credential_id == credential && row.state == SecretState::Pending => {
            Ok(Some(open_row(scope, keyring, row).await?))
        }
        _ => Ok(None),
    }
}

async fn find(scope: &Scope, id: CredentialSecretId) -> Result<Option<Model>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

async fn open_row(scope: &Scope, keyring: &Keyring, mut row: Model) -> Result<Opened> {
    let (db, partner) = (scope.db(), scope.partner());
    let data_key = loop {
        if let Some(key) = DataKey::of(db, keyring, partner, row.key_version).await? {
            break key;
        }
        // The key was replaced since the row was read: it names another one now.
        row = match find(scope, row.id).await? {
            Some(now) if now.key_version != row.key_version => now,
            Some(_) => return Err(Error::Stored("a secret's data key is missing".into())),
            None => return Err(Error::Stored("the secret is gone".into())),
        };
    };
    let bytes = keyring.open(
        &data_key.key,
        place(scope, row.credential_id, row.id),
        &Sealed::from_bytes(row.content_key),
        &Sealed::from_bytes(row.sealed),
    )?;
    Ok(Opened {
        id: row.id,
        kind: row.kind,
        bytes,
        certificate: row.certificate,
    })
}

/// Stores a secret in a state, sealed under a new content key.
pub(super) async fn insert(
    tx: &Tx,
    scope: &Scope,
    (keyring, data_key): (&Keyring, &DataKey),
    credential: CredentialId,
    new: &NewSecret,
    state: SecretState,
) -> Result<CredentialSecretId> {
    let id = CredentialSecretId::generate(scope.db().clock());
    let place = place(scope, credential, id);
    let (content_key, sealed) = data_key.seal(tx, keyring, place, new.bytes()).await?;
    let certificate = new.certificate();
    ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(id),
        credential_id: Set(credential),
        kind: Set(new.kind()),
        state: Set(state),
        sealed: Set(sealed.as_bytes().to_vec()),
        content_key: Set(content_key.as_bytes().to_vec()),
        key_version: Set(data_key.version),
        certificate: Set(certificate.map(|c| c.der.clone())),
        thumbprint: Set(certificate.map(Certificate::thumbprint)),
        expires_at: Set(new.expires_at()),
        created_at: Set(scope.now()),
        replaced_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    Ok(id)
}

/// Makes `new` the one that is used. The one before it stays for a day as the one that it replaced.
pub async fn replace(
    scope: &Scope,
    keyring: &Keyring,
    id: CredentialId,
    new: &NewSecret,
) -> Result<bool> {
    scope.require(Role::Admin)?;
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let Some(row) = live(&tx, scope, id).await? else {
        return Ok(false);
    };
    step_down(&tx, scope, id).await?;
    insert(
        &tx,
        scope,
        (keyring, &data_key),
        id,
        new,
        SecretState::Current,
    )
    .await?;
    in_use(&tx, scope, &row, new.kind(), new.expires_at()).await?;
    tx.commit().await?;
    Ok(true)
}

/// Stores a certificate that is to be uploaded before it is used; it replaces one that waits for
/// the same. `None` when there is no such credential.
pub async fn add_pending(
    scope: &Scope,
    keyring: &Keyring,
    id: CredentialId,
    new: &NewSecret,
) -> Result<Option<CredentialSecretId>> {
    scope.require(Role::Admin)?;
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let Some(row) = live(&tx, scope, id).await? else {
        return Ok(None);
    };
    execute(
        &tx.conn,
        "DELETE FROM credential_secrets
         WHERE partner_id = $1 AND credential_id = $2 AND state = 'pending'",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    let made = insert(
        &tx,
        scope,
        (keyring, &data_key),
        id,
        new,
        SecretState::Pending,
    )
    .await?;
    audit::append(
        &tx,
        scope,
        "credential.certificate",
        Target::new("credential", id, &row.name),
        json!({ "thumbprint": new.certificate().map(Certificate::thumbprint) }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(made))
}

/// Makes a pending certificate the one that is used. `false` when there is none such.
pub async fn promote(scope: &Scope, id: CredentialId, secret: CredentialSecretId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let Some(pending) = find(scope, secret).await? else {
        return Ok(false);
    };
    let tx = scope.begin().await?;
    let Some(row) = live(&tx, scope, id).await? else {
        return Ok(false);
    };
    step_down(&tx, scope, id).await?;
    let changed = execute(
        &tx.conn,
        "UPDATE credential_secrets SET state = 'current'
         WHERE partner_id = $1 AND credential_id = $2 AND id = $3 AND state = 'pending'",
        vec![scope.partner().into(), id.into(), secret.into()],
    )
    .await?;
    if changed == 0 {
        return Ok(false);
    }
    in_use(&tx, scope, &row, pending.kind, pending.expires_at).await?;
    tx.commit().await?;
    Ok(true)
}

/// Destroys a secret that is not the one in use. `false` when there is none such.
pub async fn remove(scope: &Scope, id: CredentialId, secret: CredentialSecretId) -> Result<bool> {
    scope.require(Role::Admin)?;
    let tx = scope.begin().await?;
    let Some(row) = live(&tx, scope, id).await? else {
        return Ok(false);
    };
    let removed = execute(
        &tx.conn,
        "DELETE FROM credential_secrets
         WHERE partner_id = $1 AND credential_id = $2 AND id = $3 AND state <> 'current'",
        vec![scope.partner().into(), id.into(), secret.into()],
    )
    .await?;
    if removed == 0 {
        return Ok(false);
    }
    audit::append(
        &tx,
        scope,
        "credential.secret.remove",
        Target::new("credential", id, &row.name),
        json!({ "secret": secret }),
    )
    .await?;
    tx.commit().await?;
    scope.db().scrub().await;
    Ok(true)
}

/// Keeps the refresh token that came with a token, in the place of the one that was `used`, unless
/// somebody authorised anew meanwhile. Microsoft hands out one each time; it is no action of anybody
/// and leaves no audit row.
pub async fn rotate(
    scope: &Scope,
    keyring: &Keyring,
    id: CredentialId,
    used: CredentialSecretId,
    token: &Secret,
) -> Result<()> {
    // A refresh token comes once: that the key was replaced at this moment must not lose it.
    match keep(scope, keyring, id, used, token).await {
        Err(Error::Conflict(_)) => keep(scope, keyring, id, used, token).await,
        other => other,
    }
}

async fn keep(
    scope: &Scope,
    keyring: &Keyring,
    id: CredentialId,
    used: CredentialSecretId,
    token: &Secret,
) -> Result<()> {
    let data_key = DataKey::newest(scope.db(), keyring, scope.partner()).await?;
    let tx = scope.begin().await?;
    let Some(row) = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::CredentialId.eq(id))
        .filter(Column::Id.eq(used))
        .filter(Column::Kind.eq(SecretKind::RefreshToken))
        .one(&tx.conn)
        .await?
    else {
        return Ok(());
    };
    let place = place(scope, id, row.id);
    let (content_key, sealed) = data_key
        .seal(&tx, keyring, place, token.expose().as_bytes())
        .await?;
    let mut active: ActiveModel = row.into();
    active.sealed = Set(sealed.as_bytes().to_vec());
    active.content_key = Set(content_key.as_bytes().to_vec());
    active.key_version = Set(data_key.version);
    active.update(&tx.conn).await?;
    tx.commit().await
}

/// Stores the refresh token of a person who authorised, in place of any before it.
pub(crate) async fn authorised(
    tx: &Tx,
    scope: &Scope,
    sealing: (&Keyring, &DataKey),
    id: CredentialId,
    token: &Secret,
) -> Result<()> {
    execute(
        &tx.conn,
        "DELETE FROM credential_secrets
         WHERE partner_id = $1 AND credential_id = $2 AND kind = 'refresh_token'",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    let new = NewSecret::RefreshToken(token.clone());
    insert(tx, scope, sealing, id, &new, SecretState::Current).await?;
    Ok(())
}

/// Notes when the secret in use ends, as the registration says.
pub async fn note_expiry(
    scope: &Scope,
    secret: CredentialSecretId,
    expires_at: Timestamp,
) -> Result<()> {
    let tx = scope.begin().await?;
    execute(
        &tx.conn,
        "UPDATE credential_secrets SET expires_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![expires_at.into(), scope.partner().into(), secret.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE credentials SET secret_expires_at = $1 WHERE partner_id = $2 AND id IN
            (SELECT credential_id FROM credential_secrets
             WHERE partner_id = $2 AND id = $3 AND state = 'current')",
        vec![expires_at.into(), scope.partner().into(), secret.into()],
    )
    .await?;
    tx.commit().await
}

/// Destroys secrets that were replaced a day ago; called by the scheduler.
pub async fn retire(db: &Db) -> Result<()> {
    let before = db.clock().now().plus_minutes(-KEEP_MINUTES);
    let gone = execute(
        &db.everybody_writer(),
        "DELETE FROM credential_secrets WHERE state = 'previous' AND replaced_at <= $1",
        vec![before.into()],
    )
    .await?;
    if gone > 0 {
        db.scrub().await;
    }
    Ok(())
}

async fn live(tx: &Tx, scope: &Scope, id: CredentialId) -> Result<Option<credential::Model>> {
    let row = scope
        .find::<credential::Entity>()
        .filter(credential::Column::Id.eq(id))
        .one(&tx.conn)
        .await?;
    match row {
        Some(row) if row.revoked_at.is_some() => Err(Error::Conflict(
            "This credential is revoked. Add the registration again as a new one.".into(),
        )),
        other => Ok(other),
    }
}

/// The one in use becomes the one that was replaced; what it had replaced is destroyed.
async fn step_down(tx: &Tx, scope: &Scope, id: CredentialId) -> Result<()> {
    execute(
        &tx.conn,
        "DELETE FROM credential_secrets WHERE partner_id = $1 AND credential_id = $2
            AND state = 'previous' AND kind <> 'refresh_token'",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    execute(
        &tx.conn,
        "UPDATE credential_secrets SET state = 'previous', replaced_at = $1
         WHERE partner_id = $2 AND credential_id = $3 AND state = 'current'
            AND kind <> 'refresh_token'",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    Ok(())
}

/// What was said of the old secret does not hold for the new one.
async fn in_use(
    tx: &Tx,
    scope: &Scope,
    row: &credential::Model,
    kind: SecretKind,
    expires_at: Option<Timestamp>,
) -> Result<()> {
    let state = match (row.state, row.last_success_at) {
        (CredentialState::Failing, Some(_)) => CredentialState::Active,
        (CredentialState::Failing, None) => CredentialState::AwaitingConsent,
        (state, _) => state,
    };
    let mut active: credential::ActiveModel = row.clone().into();
    active.state = Set(state);
    active.secret_version = Set(row.secret_version + 1);
    active.secret_expires_at = Set(expires_at);
    active.last_error_at = Set(None);
    active.last_error_code = Set(None);
    active.last_error = Set(None);
    active.updated_at = Set(scope.now());
    active.update(&tx.conn).await?;
    audit::append(
        tx,
        scope,
        "credential.renew",
        Target::new("credential", row.id, &row.name),
        json!({ "kind": kind, "expires_at": expires_at }),
    )
    .await
}
