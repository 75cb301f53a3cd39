//! Slots of Microsoft's request limits, shared by all workers through the database.

use crate::{
    Db, Result,
    db::{execute, query_one},
};

/// Takes one of `slots` slots of a limit, each of which is free again when `period_ms` have passed,
/// by the database's clock. Answers 0 when it was taken, else in how many milliseconds one may be
/// free.
pub async fn take(db: &Db, name: &str, slots: i64, period_ms: i64) -> Result<i64> {
    let tx = db.begin().await?;
    if db.kind() == "postgres" {
        // Whoever asks for the same limit waits for this transaction; others do not.
        query_one(
            &tx.conn,
            "SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock(hashtext($1))) AS lock",
            vec![name.into()],
        )
        .await?;
    }
    let now: i64 = query_one(&tx.conn, &format!("SELECT {} AS now", db.now_sql()), vec![])
        .await?
        .map_or(Ok(0), |row| row.try_get("", "now"))?;
    execute(
        &tx.conn,
        "DELETE FROM limit_slots WHERE name = $1 AND taken_at <= $2",
        vec![name.into(), (now - period_ms).into()],
    )
    .await?;
    let taken = query_one(
        &tx.conn,
        "SELECT COUNT(*) AS taken, MIN(taken_at) AS oldest, COALESCE(MAX(slot), 0) AS last
         FROM limit_slots WHERE name = $1",
        vec![name.into()],
    )
    .await?;
    let (count, oldest, last): (i64, Option<i64>, i64) = match taken {
        Some(row) => (
            row.try_get("", "taken")?,
            row.try_get("", "oldest")?,
            row.try_get("", "last")?,
        ),
        None => (0, None, 0),
    };
    if count >= slots {
        tx.commit().await?;
        // At least a moment, so that a clock that stands still is not asked in a loop.
        return Ok((oldest.unwrap_or(now) + period_ms - now).max(20));
    }
    execute(
        &tx.conn,
        "INSERT INTO limit_slots (name, slot, taken_at) VALUES ($1, $2, $3)",
        vec![name.into(), (last + 1).into(), now.into()],
    )
    .await?;
    tx.commit().await?;
    Ok(0)
}
