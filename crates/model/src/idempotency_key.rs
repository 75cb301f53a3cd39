//! Keys by which a program sends a request again without doing it twice
//! (draft-ietf-httpapi-idempotency-key-header): the first answer is kept for a day and given again.

use crate::{
    Db, Error, IdempotencyKeyId, PartnerId, Result, Scope, Timestamp,
    data_key::{self, DataKey, SealedText},
    db::{execute, query_one},
};
use keys::{Keyring, Place};

/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 60 * 60_000;
/// A request ends within two minutes; one that was begun before that has died with its process.
const LONGEST_MS: i64 = 150_000;

/// An answer as it is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type; empty for none.
    pub content_type: String,
    /// The `Location` header; empty for none.
    pub location: String,
    /// The body.
    pub body: String,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Claim {
    /// Nothing: the request is to be done, and its answer kept or forgotten.
    Fresh(Claimed),
    /// The same request is being done at this moment.
    Running,
    /// Another request had this key.
    OtherRequest,
    /// The answer.
    Done(Answer),
}

/// A key that a request holds.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    partner: PartnerId,
    id: IdempotencyKeyId,
}

pub(crate) fn place(partner: PartnerId, id: IdempotencyKeyId) -> Place<'static> {
    Place {
        partner: partner.0,
        table: "idempotency_keys",
        column: "sealed",
        row: id.0,
    }
}

/// Takes a key for a request whose content has this fingerprint, or says what became of it.
pub async fn claim(
    scope: &Scope,
    keyring: &Keyring,
    name: &str,
    fingerprint: &str,
) -> Result<Claim> {
    let (partner, now) = (scope.partner(), scope.now());
    let token = scope.actor().id.clone();
    let claimed = Claimed {
        partner,
        id: IdempotencyKeyId::generate(scope.db().clock()),
    };
    // What is too old, or died while it was made, does not count.
    let tx = scope.begin_beside().await?;
    execute(
        &tx.conn,
        "DELETE FROM idempotency_keys WHERE partner_id = $1 AND token_id = $2 AND name = $3
            AND (created_at < $4 OR (status IS NULL AND created_at < $5))",
        vec![
            partner.into(),
            token.clone().into(),
            name.into(),
            now.plus_ms(-KEPT_MS).into(),
            now.plus_ms(-LONGEST_MS).into(),
        ],
    )
    .await?;
    let taken = execute(
        &tx.conn,
        "INSERT INTO idempotency_keys (partner_id, id, token_id, name, fingerprint, content_type,
            location, key_version, wrapped, sealed, created_at)
         VALUES ($1, $2, $3, $4, $5, '', '', 0, $6, $6, $7)
         ON CONFLICT (partner_id, token_id, name) DO NOTHING",
        vec![
            partner.into(),
            claimed.id.into(),
            token.clone().into(),
            name.into(),
            fingerprint.into(),
            Vec::<u8>::new().into(),
            now.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    if taken > 0 {
        return Ok(Claim::Fresh(claimed));
    }
    let row = query_one(
        &scope.conn(),
        "SELECT id, fingerprint, status, content_type, location FROM idempotency_keys
         WHERE partner_id = $1 AND token_id = $2 AND name = $3",
        vec![partner.into(), token.into(), name.into()],
    )
    .await?;
    let Some(row) = row else {
        // It was forgotten at this moment, because it failed: the caller asks again.
        return Ok(Claim::Running);
    };
    if row.try_get::<String>("", "fingerprint")? != fingerprint {
        return Ok(Claim::OtherRequest);
    }
    let Some(status) = row.try_get::<Option<i64>>("", "status")? else {
        return Ok(Claim::Running);
    };
    let id: IdempotencyKeyId = row.try_get("", "id")?;
    let read = || async { read(scope, id).await };
    let missing = || Error::Stored("an answer that was kept is gone".into());
    let text = read().await?.ok_or_else(missing)?;
    let body = data_key::open(scope.db(), keyring, place(partner, id), text, read).await?;
    Ok(Claim::Done(Answer {
        status: u16::try_from(status).unwrap_or(500),
        content_type: row.try_get("", "content_type")?,
        location: row.try_get("", "location")?,
        body: body.expose().to_owned(),
    }))
}

async fn read(scope: &Scope, id: IdempotencyKeyId) -> Result<Option<SealedText>> {
    let row = query_one(
        &scope.conn(),
        "SELECT key_version, wrapped, sealed FROM idempotency_keys
         WHERE partner_id = $1 AND id = $2",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    row.map(|row| {
        Ok(SealedText {
            version: row.try_get("", "key_version")?,
            wrapped: row.try_get("", "wrapped")?,
            sealed: row.try_get("", "sealed")?,
        })
    })
    .transpose()
}

/// Keeps the answer of a request.
pub async fn keep(
    scope: &Scope,
    keyring: &Keyring,
    claimed: Claimed,
    answer: &Answer,
) -> Result<()> {
    let data_key = DataKey::newest(scope.db(), keyring, claimed.partner).await?;
    let tx = scope.begin_beside().await?;
    let place = place(claimed.partner, claimed.id);
    let (wrapped, sealed) = data_key
        .seal(&tx, keyring, place, answer.body.as_bytes())
        .await?;
    execute(
        &tx.conn,
        "UPDATE idempotency_keys SET status = $1, content_type = $2, location = $3,
            key_version = $4, wrapped = $5, sealed = $6
         WHERE partner_id = $7 AND id = $8",
        vec![
            i64::from(answer.status).into(),
            answer.content_type.clone().into(),
            answer.location.clone().into(),
            data_key.version.into(),
            wrapped.as_bytes().to_vec().into(),
            sealed.as_bytes().to_vec().into(),
            claimed.partner.into(),
            claimed.id.into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// Forgets a request that was not done: it may be sent again with the same key.
pub async fn forget(scope: &Scope, claimed: Claimed) -> Result<()> {
    execute(
        &scope.writer(),
        "DELETE FROM idempotency_keys WHERE partner_id = $1 AND id = $2",
        vec![claimed.partner.into(), claimed.id.into()],
    )
    .await?;
    Ok(())
}

/// Removes what is older than a day.
pub async fn prune(db: &Db) -> Result<u64> {
    let before: Timestamp = db.clock().now().plus_ms(-KEPT_MS);
    Ok(execute(
        &db.everybody_writer(),
        "DELETE FROM idempotency_keys WHERE created_at < $1",
        vec![before.into()],
    )
    .await?)
}
