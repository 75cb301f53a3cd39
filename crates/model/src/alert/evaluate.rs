//! When conditions are looked at: what depends on time every time, what depends on what was read when a
//! run of the partner has ended since, or an hour has passed.

use std::collections::HashMap;

use super::{Cause, kinds, reconcile};
use crate::{Actor, AlertKind, Db, PartnerId, Result, Role, Scope, Timestamp, db::query_all};

/// What this process remembers between two evaluations.
#[derive(Debug, Default)]
pub struct Evaluation(HashMap<PartnerId, Looked>);

#[derive(Debug, Clone, Copy)]
struct Looked {
    at: Timestamp,
    runs: i64,
}

/// What was read is looked at again after so long, whether a run has ended or not: some conditions end
/// with time.
const AGAIN_MINUTES: i64 = 60;

/// The partners, with how many runs of each have ended.
pub async fn partners(db: &Db) -> Result<Vec<(PartnerId, i64)>> {
    let rows = query_all(
        &db.everybody(),
        "SELECT p.id, (SELECT COALESCE(MAX(r.finished_at), 0) FROM runs r WHERE r.partner_id = p.id)
            AS ended FROM partners p",
        vec![],
    )
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "ended")?)))
        .collect()
}

/// Looks at the conditions of every partner; answers how many alerts were written. Any number of
/// processes may do so at the same time.
pub async fn evaluate(db: &Db, memory: &mut Evaluation, needed: kinds::Needed) -> Result<usize> {
    let mut written = 0;
    for (partner, runs) in partners(db).await? {
        let now = db.clock().now();
        let is_due = memory.0.get(&partner).is_none_or(|looked| {
            looked.runs != runs || looked.at.plus_minutes(AGAIN_MINUTES) <= now
        });
        let scope = Scope::new(db, partner, Role::Technician, actor());
        // One partner's trouble must not keep the others from being looked at.
        match one(&scope, is_due, needed).await {
            Ok(count) => {
                written += count;
                if is_due {
                    memory.0.insert(partner, Looked { at: now, runs });
                }
            }
            Err(error) => tracing::warn!(%partner, %error, "alerts could not be evaluated"),
        }
    }
    Ok(written)
}

fn actor() -> Actor {
    Actor {
        kind: "run",
        id: String::new(),
        name: "schedule".into(),
        address: String::new(),
    }
}

async fn one(scope: &Scope, with_read: bool, needed: kinds::Needed) -> Result<usize> {
    let mut found: Vec<(AlertKind, Vec<Cause>)> = kinds::by_time(scope, needed).await?;
    if with_read {
        found.extend(kinds::by_what_was_read(scope).await?);
    }
    reconcile(scope, found).await
}
