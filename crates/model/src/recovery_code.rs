//! Codes that a member wrote down for the day on which the telephone is lost. Each counts once.

use keys::Secret;
use serde_json::json;

use crate::{
    Db, MemberId, Principal, Result,
    audit::{self, Target},
    db::{Tx, execute, query_one},
};

const COUNT: usize = 10;

/// As people type them: without dashes and blanks, in capitals.
fn normal(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// Codes that are left.
pub async fn left(db: &Db, member: MemberId) -> Result<i64> {
    let row = query_one(
        &db.conn(),
        "SELECT COUNT(*) AS n FROM recovery_codes WHERE member_id = $1 AND used_at IS NULL",
        vec![member.into()],
    )
    .await?;
    Ok(row.map_or(Ok(0), |r| r.try_get("", "n"))?)
}

/// New codes in place of all old ones; they are shown once and kept hashed.
pub async fn renew(principal: &Principal) -> Result<Vec<Secret>> {
    principal.require_own_sign_in()?;
    let scope = &principal.scope;
    let tx = scope.begin().await?;
    let codes = renew_in(&tx, principal.member.id).await?;
    audit::append(
        &tx,
        scope,
        "member.recovery_codes",
        Target::new("member", principal.member.id, &principal.member.email),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    Ok(codes)
}

pub(crate) async fn renew_in(tx: &Tx, member: MemberId) -> Result<Vec<Secret>> {
    execute(
        &tx.conn,
        "DELETE FROM recovery_codes WHERE member_id = $1",
        vec![member.into()],
    )
    .await?;
    let mut codes = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let code = keys::random_code()?;
        execute(
            &tx.conn,
            "INSERT INTO recovery_codes (member_id, code_hash) VALUES ($1, $2)",
            vec![
                member.into(),
                keys::fingerprint(&normal(code.expose())).into(),
            ],
        )
        .await?;
        codes.push(code);
    }
    Ok(codes)
}

/// Uses a code; answers whether it was one that was left.
pub async fn redeem(db: &Db, member: MemberId, code: &str) -> Result<bool> {
    let used = execute(
        &db.writer(),
        "UPDATE recovery_codes SET used_at = $1
         WHERE member_id = $2 AND code_hash = $3 AND used_at IS NULL",
        vec![
            db.clock().now().into(),
            member.into(),
            keys::fingerprint(&normal(code)).into(),
        ],
    )
    .await?;
    Ok(used == 1)
}
