//! A form whose sender must first prove who they are: it waits, sealed, so that nothing that was typed
//! is lost and no secret in it goes back to the browser.

use keys::{Keyring, Place, Sealed};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Db, Error, HeldFormId, PartnerId, Principal, Result,
    db::{execute, query_one},
};

const MINUTES: i64 = 10;
/// A session holds so many forms.
const MOST: i64 = 5;

/// What was sent.
#[derive(Debug)]
pub struct Form {
    /// Where to.
    pub path: String,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
}

pub(crate) fn place(partner: PartnerId, row: Uuid) -> Place<'static> {
    Place {
        partner: partner.0,
        table: "held_forms",
        column: "sealed",
        row,
    }
}

/// Holds a form for the session; answers the token by which it is found again.
pub async fn hold(principal: &Principal, keyring: &Keyring, form: &Form) -> Result<String> {
    let scope = &principal.scope;
    let Some(session) = &principal.session else {
        return Err(Error::Conflict("An API token holds no forms.".into()));
    };
    let row = HeldFormId::generate(scope.db().clock()).0;
    let (wrapped, sealed) = keyring
        .seal_alone(place(scope.partner(), row), &form.body)
        .await?;
    let token = keys::random_token()?;
    // The partner's turn: forms of one session that come at the same moment count each other.
    let tx = scope.begin().await?;
    // A person goes on with one form or another; who held more gets the newest.
    execute(
        &tx.conn,
        "DELETE FROM held_forms WHERE partner_id = $1 AND session_id = $2 AND token_hash NOT IN (
            SELECT token_hash FROM held_forms WHERE partner_id = $1 AND session_id = $2
            ORDER BY expires_at DESC LIMIT $3)",
        vec![scope.partner().into(), session.id.into(), (MOST - 1).into()],
    )
    .await?;
    execute(
        &tx.conn,
        "INSERT INTO held_forms (token_hash, partner_id, session_id, row_id, path, content_type,
            provider_key, wrapped, sealed, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        vec![
            keys::fingerprint(&token).into(),
            scope.partner().into(),
            session.id.into(),
            row.into(),
            form.path.clone().into(),
            form.content_type.clone().into(),
            wrapped.provider_key.into(),
            wrapped.key.as_bytes().to_vec().into(),
            sealed.as_bytes().to_vec().into(),
            scope.now().plus_minutes(MINUTES).into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(token)
}

/// Where a held form of this session goes to.
pub async fn path(principal: &Principal, token: &str) -> Result<Option<String>> {
    let Some(session) = &principal.session else {
        return Ok(None);
    };
    let row = query_one(
        &principal.scope.conn(),
        "SELECT path FROM held_forms
         WHERE token_hash = $1 AND partner_id = $2 AND session_id = $3 AND expires_at > $4",
        vec![
            keys::fingerprint(token).into(),
            principal.scope.partner().into(),
            session.id.into(),
            principal.scope.now().into(),
        ],
    )
    .await?;
    Ok(row.map(|row| row.try_get("", "path")).transpose()?)
}

/// Takes a held form of this session out again, once.
pub async fn take(principal: &Principal, keyring: &Keyring, token: &str) -> Result<Option<Form>> {
    let scope = &principal.scope;
    let Some(session) = &principal.session else {
        return Ok(None);
    };
    let row = query_one(
        &scope.writer(),
        "DELETE FROM held_forms
         WHERE token_hash = $1 AND partner_id = $2 AND session_id = $3 AND expires_at > $4
         RETURNING row_id, path, content_type, provider_key, wrapped, sealed",
        vec![
            keys::fingerprint(token).into(),
            scope.partner().into(),
            session.id.into(),
            scope.now().into(),
        ],
    )
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id: Uuid = row.try_get("", "row_id")?;
    let provider: String = row.try_get("", "provider_key")?;
    Ok(Some(Form {
        path: row.try_get("", "path")?,
        content_type: row.try_get("", "content_type")?,
        body: keyring
            .open_alone(
                &provider,
                place(scope.partner(), id),
                &Sealed::from_bytes(row.try_get("", "wrapped")?),
                &Sealed::from_bytes(row.try_get("", "sealed")?),
            )
            .await?,
    }))
}

pub(crate) async fn prune(db: &Db) -> Result<()> {
    execute(
        &db.everybody_writer(),
        "DELETE FROM held_forms WHERE expires_at <= $1",
        vec![db.clock().now().into()],
    )
    .await?;
    Ok(())
}
