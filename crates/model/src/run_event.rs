//! The timeline of a run: what happened, in words, numbered from 1.

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect, Value};

use crate::{
    PartnerId, Result, Run, RunEvent, RunId, Scope, Timestamp,
    db::{Tx, execute, query_one, rows},
    entity::run_event::{Column, Entity},
};

/// Appends a line inside the caller's transaction.
pub(crate) async fn append(
    conn: &impl sea_orm::ConnectionTrait,
    partner: PartnerId,
    run: RunId,
    at: Timestamp,
    level: &str,
    message: &str,
) -> Result<()> {
    execute(
        conn,
        "INSERT INTO run_events (partner_id, run_id, seq, at, level, message)
         SELECT $1, $2, COALESCE(MAX(seq), 0) + 1, CAST($3 AS BIGINT), $4, $5
         FROM run_events WHERE partner_id = $1 AND run_id = $2",
        vec![
            partner.into(),
            run.into(),
            at.into(),
            level.into(),
            message.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Appends lines in their order.
pub(crate) async fn append_all(
    tx: &Tx,
    run: &Run,
    events: &[(Timestamp, &'static str, String)],
) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let key: [Value; 2] = [run.partner_id.into(), run.id.into()];
    let last = query_one(
        &tx.conn,
        "SELECT COALESCE(MAX(seq), 0) AS seq FROM run_events WHERE partner_id = $1 AND run_id = $2",
        key.to_vec(),
    )
    .await?;
    let mut seq: i64 = last.map_or(Ok(0), |row| row.try_get("", "seq"))?;
    for events in events.chunks(500) {
        let mut values = Vec::with_capacity(events.len() * 6);
        for (at, level, message) in events {
            seq += 1;
            values.extend(key.iter().cloned());
            values.extend([
                seq.into(),
                (*at).into(),
                (*level).into(),
                message.as_str().into(),
            ]);
        }
        let sql = format!(
            "INSERT INTO run_events (partner_id, run_id, seq, at, level, message) VALUES {}",
            rows(events.len(), 6)
        );
        execute(&tx.conn, &sql, values).await?;
    }
    Ok(())
}

/// The last `limit` lines, newest first. The run was read through the scope, which proves that the
/// caller may see it.
pub async fn newest(scope: &Scope, run: &Run, limit: u64) -> Result<Vec<RunEvent>> {
    use sea_orm::EntityTrait;
    Ok(Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::RunId.eq(run.id))
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(&scope.conn())
        .await?)
}
