//! The timeline of a run: what happened, in words, numbered from 1.

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::{
    PartnerId, Result, Run, RunEvent, RunId, Scope, Timestamp,
    db::execute,
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

/// The last `limit` lines, newest first. The run was read through the scope, which proves that the
/// caller may see it.
pub async fn newest(scope: &Scope, run: &Run, limit: u64) -> Result<Vec<RunEvent>> {
    use sea_orm::EntityTrait;
    Ok(Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::RunId.eq(run.id))
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(scope.db().conn())
        .await?)
}
