//! What the wrapping key wraps, and how it moves to another wrapping key: each by itself, so that it
//! can be begun anew at any time, while everything runs.

use keys::{Keyring, Place, Sealed, Wrapped};
use sea_orm::{QueryResult, Value};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Db, MemberId, PartnerId, Result, Scope,
    audit::{self, Target, checkpoint},
    db::{Conn, execute, query_all, query_one},
    held_form, totp,
};

/// How many keys each wrapping key wraps: `(its name, number)`, by name.
pub async fn in_use(db: &Db) -> Result<Vec<(String, i64)>> {
    let rows = query_all(
        &db.everybody(),
        "SELECT provider_key, CAST(SUM(n) AS BIGINT) AS n FROM (
            SELECT provider_key, COUNT(*) AS n FROM partner_keys GROUP BY provider_key
            UNION ALL SELECT provider_key, COUNT(*) FROM totps GROUP BY provider_key
            UNION ALL SELECT provider_key, COUNT(*) FROM signing_keys GROUP BY provider_key
            UNION ALL SELECT provider_key, COUNT(*) FROM held_forms GROUP BY provider_key
         ) AS keys GROUP BY provider_key ORDER BY provider_key",
        vec![],
    )
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "provider_key")?, row.try_get("", "n")?)))
        .collect()
}

/// Wraps everything under the keyring's present key that is wrapped under another one. Answers how
/// many keys moved.
///
/// # Errors
/// [`crate::Error::Key`] when a key service does not answer: what moved stays moved, call it again.
pub async fn rewrap(db: &Db, keyring: &Keyring) -> Result<u64> {
    let mut moved = 0;
    let present = keyring.provider_id();
    let behind = |sql: &'static str| {
        let (conn, present) = (db.everybody(), present.clone());
        async move { query_all(&conn, sql, vec![present.into()]).await }
    };
    for row in behind("SELECT partner_id, version, provider_key, wrapped FROM partner_keys WHERE provider_key <> $1").await? {
        moved += partner_key(db, keyring, &row).await?;
    }
    for row in behind("SELECT member_id, provider_key, wrapped FROM totps WHERE provider_key <> $1")
        .await?
    {
        let id: MemberId = row.try_get("", "member_id")?;
        let found = alone(keyring, &row, totp::place(id)).await?;
        moved += save(&db.writer(), "totps", "member_id", id.into(), found).await?;
    }
    for row in
        behind("SELECT row_id, provider_key, wrapped FROM signing_keys WHERE provider_key <> $1")
            .await?
    {
        let id: Uuid = row.try_get("", "row_id")?;
        let found = alone(keyring, &row, checkpoint::place(id)).await?;
        moved += save(&db.writer(), "signing_keys", "row_id", id.into(), found).await?;
    }
    for row in behind(
        "SELECT row_id, partner_id, provider_key, wrapped FROM held_forms WHERE provider_key <> $1",
    )
    .await?
    {
        let id: Uuid = row.try_get("", "row_id")?;
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let found = alone(keyring, &row, held_form::place(partner, id)).await?;
        moved += save(
            &db.everybody_writer(),
            "held_forms",
            "row_id",
            id.into(),
            found,
        )
        .await?;
    }
    Ok(moved)
}

async fn partner_key(db: &Db, keyring: &Keyring, row: &QueryResult) -> Result<u64> {
    let partner: PartnerId = row.try_get("", "partner_id")?;
    let version: i64 = row.try_get("", "version")?;
    let before: String = row.try_get("", "provider_key")?;
    let wrapped: Vec<u8> = row.try_get("", "wrapped")?;
    let new = keyring
        .rewrap(&before, partner.0, &Sealed::from_bytes(wrapped.clone()))
        .await?;
    #[allow(clippy::disallowed_methods)] // a key is replaced for its partner
    let scope = Scope::operator(db, partner);
    let tx = scope.begin().await?;
    let moved = query_one(
        &tx.conn,
        "UPDATE partner_keys SET provider_key = $1, wrapped = $2
         WHERE partner_id = $3 AND version = $4 AND wrapped = $5 RETURNING version",
        vec![
            new.provider_key.clone().into(),
            new.key.as_bytes().to_vec().into(),
            partner.into(),
            version.into(),
            wrapped.into(),
        ],
    )
    .await?;
    if moved.is_none() {
        return Ok(0);
    }
    audit::append(
        &tx,
        &scope,
        "partner.key.rewrap",
        Target::new("partner", partner, ""),
        json!({ "version": version, "before": before, "after": new.provider_key }),
    )
    .await?;
    tx.commit().await?;
    Ok(1)
}

async fn alone(
    keyring: &Keyring,
    row: &QueryResult,
    place: Place<'static>,
) -> Result<(Vec<u8>, Wrapped)> {
    let before: String = row.try_get("", "provider_key")?;
    let wrapped: Vec<u8> = row.try_get("", "wrapped")?;
    let key = Sealed::from_bytes(wrapped.clone());
    let new = keyring.rewrap_alone(&before, place, &key).await?;
    Ok((wrapped, new))
}

async fn save(
    conn: &Conn,
    table: &'static str,
    key: &'static str,
    id: Value,
    (before, new): (Vec<u8>, Wrapped),
) -> Result<u64> {
    Ok(execute(
        conn,
        &format!(
            "UPDATE {table} SET provider_key = $1, wrapped = $2 WHERE {key} = $3 AND wrapped = $4"
        ),
        vec![
            new.provider_key.into(),
            new.key.as_bytes().to_vec().into(),
            id,
            before.into(),
        ],
    )
    .await?)
}
