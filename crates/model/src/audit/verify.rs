//! Checking the log: that the chain holds from its first row to its recorded end, and that it still
//! has what checkpoints saw.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{checkpoint::Checkpoint, hash};
use crate::{
    Error, PartnerId, Result,
    db::{Db, query_one},
    entity::audit_row,
    scope::Owned,
};

/// Where a chain is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Number of the row.
    pub seq: i64,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Walks a partner's chain, and looks for what `checkpoints` of it saw. Answers the number of rows,
/// or where it first breaks. The signatures of checkpoints are the caller's to check.
pub async fn verify(
    db: &Db,
    partner: PartnerId,
    checkpoints: &[Checkpoint],
) -> Result<std::result::Result<i64, Broken>> {
    let broken = |seq, why| Ok(Err(Broken { seq, why }));
    // The end is read first: rows that come while the chain is walked are no fault of it.
    let head = query_one(
        &db.conn_of(partner),
        "SELECT audit_seq, audit_head FROM partners WHERE id = $1",
        vec![partner.into()],
    )
    .await?
    .ok_or_else(|| Error::field("partner", "there is no such partner"))?;
    let length: i64 = head.try_get("", "audit_seq")?;
    let head: String = head.try_get("", "audit_head")?;
    // All of a row: of two that disagree, the later must not hide the earlier.
    let mut seen: HashMap<i64, Vec<&str>> = HashMap::new();
    for checkpoint in checkpoints.iter().filter(|c| c.partner == partner) {
        seen.entry(checkpoint.seq)
            .or_default()
            .push(&checkpoint.head);
    }
    let mut previous = String::new();
    let mut seq = 0;
    while seq < length {
        let rows = audit_row::Entity::find()
            .filter(audit_row::Entity::PARTNER.eq(partner))
            .filter(audit_row::Column::Seq.gt(seq))
            .order_by_asc(audit_row::Column::Seq)
            .filter(audit_row::Column::Seq.lte(length))
            .limit(1000)
            .all(&db.conn_of(partner))
            .await?;
        if rows.is_empty() {
            return broken(seq + 1, "rows are missing at the end");
        }
        for row in rows {
            seq += 1;
            if row.seq != seq {
                return broken(seq, "a row is missing");
            }
            if row.previous_hash != previous {
                return broken(seq, "it does not follow the row before it");
            }
            if hash(&row) != row.hash {
                return broken(seq, "its content was changed");
            }
            if seen
                .get(&seq)
                .is_some_and(|heads| heads.iter().any(|head| *head != row.hash))
            {
                return broken(
                    seq,
                    "a checkpoint saw another row here: the log was rewritten",
                );
            }
            previous = row.hash;
        }
    }
    if let Some(lost) = seen.keys().copied().filter(|s| *s > length).min() {
        return broken(
            lost,
            "a checkpoint saw this row, and it is gone: the end was cut off",
        );
    }
    // Rows first, then their recorded number, which only grows.
    let last = number(
        db,
        partner,
        "SELECT COALESCE(MAX(seq), 0) AS n FROM audit_rows WHERE partner_id = $1",
    )
    .await?;
    let first = number(
        db,
        partner,
        "SELECT COALESCE(MIN(seq), 1) AS n FROM audit_rows WHERE partner_id = $1",
    )
    .await?;
    let recorded = number(
        db,
        partner,
        "SELECT audit_seq AS n FROM partners WHERE id = $1",
    )
    .await?;
    if last > recorded {
        return broken(recorded + 1, "a row beyond the recorded end");
    }
    if first < 1 {
        return broken(first, "a row before the first");
    }
    if head != previous {
        return broken(seq, "the end is not the one that was recorded");
    }
    Ok(Ok(seq))
}

async fn number(db: &Db, partner: PartnerId, sql: &str) -> Result<i64> {
    let row = query_one(&db.conn_of(partner), sql, vec![partner.into()]).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("", "n"))?)
}
