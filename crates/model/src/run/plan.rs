//! Planning and dispatch: which runs are due, without electing a leader. Every process may call
//! these at any time; the unique slot and the unique open run make doing it twice harmless.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::{
    Actor, ClientId, Db, Error, Feature, Mapping, MappingId, PartnerId, Result, Role, Run,
    RunCause, RunId, RunKind, Scope, Timestamp,
    audit::{self, Target},
    db::{Tx, execute, query_all},
    delivery,
    entity::{mapping, run},
    run_event,
    scope::begin_for,
};

/// A run to hand to the queue.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Partner.
    pub partner: PartnerId,
    /// Run.
    pub run: RunId,
    /// Attempts so far: with the id it names one delivery.
    pub attempt: i64,
    /// Claims so far: a hand-over that was claimed before it was noted is not noted any more.
    pub fence: i64,
    /// What people wait for has a higher one.
    pub priority: i64,
}

/// Secure score is daily whatever the directory's interval is.
pub(super) const SECURE_SCORE_MINUTES: i64 = 24 * 60;

/// Writes a run for every live mapping whose slot has begun. Answers how many.
pub async fn plan(db: &Db) -> Result<usize> {
    let now = db.clock().now();
    let mut planned = 0;
    let mut activity = Activity::default();
    let rows = query_all(
        &db.everybody(),
        "SELECT m.partner_id, m.id, COALESCE(m.interval_minutes, c.sync_interval_minutes) AS minutes,
                m.planned_directory, m.planned_secure_score, m.planned_sign_in_activity, c.features,
                t.cloud, t.client_id, EXISTS (SELECT 1 FROM runs r WHERE r.partner_id = m.partner_id
                    AND r.mapping_id = m.id AND r.kind = 'sign_in_activity'
                    AND r.state IN ('queued', 'running')) AS is_busy
         FROM mappings m
         JOIN credentials c ON c.partner_id = m.partner_id AND c.id = m.credential_id
         JOIN tenants t ON t.partner_id = m.partner_id AND t.id = m.tenant_id
         WHERE m.deleted_at IS NULL AND c.revoked_at IS NULL AND t.state = 'consented'",
        vec![],
    )
    .await?;
    for row in rows {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let id: MappingId = row.try_get("", "id")?;
        let minutes: i64 = row.try_get("", "minutes")?;
        let features: String = row.try_get("", "features")?;
        let features: Vec<Feature> = serde_json::from_str(&features).unwrap_or_default();
        if features.contains(&Feature::Activity) {
            activity.consider(&row, partner, id)?;
        }
        for (kind, minutes, column) in [
            (RunKind::Directory, minutes, "planned_directory"),
            (
                RunKind::SecureScore,
                SECURE_SCORE_MINUTES,
                "planned_secure_score",
            ),
        ] {
            if kind == RunKind::SecureScore && !features.contains(&Feature::SecureScore) {
                continue;
            }
            let before: Option<i64> = row.try_get("", column)?;
            let slot = slot(now, id, kind, minutes);
            if before.is_none_or(|b| b < slot) {
                // One mapping's trouble must not keep the others from being planned.
                match take_slot(db, partner, id, kind, slot, column).await {
                    Ok(true) => planned += 1,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(mapping = %id, %error, "a slot was not planned"),
                }
            }
        }
    }
    for (partner, id) in activity.next(now) {
        match take_activity(db, partner, id).await {
            Ok(true) => planned += 1,
            Ok(false) => {}
            Err(error) => tracing::warn!(mapping = %id, %error, "a pass was not planned"),
        }
    }
    Ok(planned)
}

/// Sign-in activity of a tenant is read once in so many milliseconds, and no sooner.
pub(super) const ACTIVITY_MS: i64 = 24 * 60 * 60_000;

/// Whose sign-in activity is read next. Microsoft allows an application ten reads a minute over all
/// its tenants, so there is one pass at a time for each application: the tenant's that waited
/// longest.
#[derive(Default)]
struct Activity(HashMap<(String, ClientId), Application>);

#[derive(Default)]
struct Application {
    is_busy: bool,
    oldest: Option<(Option<i64>, PartnerId, MappingId)>,
}

impl Activity {
    fn consider(
        &mut self,
        row: &sea_orm::QueryResult,
        partner: PartnerId,
        id: MappingId,
    ) -> Result<()> {
        let key = (row.try_get("", "cloud")?, row.try_get("", "client_id")?);
        let application = self.0.entry(key).or_default();
        application.is_busy |= row.try_get::<bool>("", "is_busy")?;
        let waits = (row.try_get("", "planned_sign_in_activity")?, partner, id);
        if application.oldest.is_none_or(|oldest| waits < oldest) {
            application.oldest = Some(waits);
        }
        Ok(())
    }

    fn next(self, now: Timestamp) -> impl Iterator<Item = (PartnerId, MappingId)> {
        let idle = self.0.into_values().filter(|a| !a.is_busy);
        idle.filter_map(|a| a.oldest)
            .filter(move |(before, ..)| before.is_none_or(|at| at <= now.0 - ACTIVITY_MS))
            .map(|(_, partner, id)| (partner, id))
    }
}

/// Begins a tenant's pass over sign-in activity; `false` when another process did.
async fn take_activity(db: &Db, partner: PartnerId, id: MappingId) -> Result<bool> {
    let scope = schedule(db, partner);
    let tx = scope.begin().await?;
    let now = scope.now();
    let taken = execute(
        &tx.conn,
        "UPDATE mappings SET planned_sign_in_activity = $1
         WHERE partner_id = $2 AND id = $3 AND deleted_at IS NULL
            AND (planned_sign_in_activity IS NULL OR planned_sign_in_activity <= $4)",
        vec![
            now.into(),
            partner.into(),
            id.into(),
            now.plus_ms(-ACTIVITY_MS).into(),
        ],
    )
    .await?;
    if taken == 0 {
        return Ok(false);
    }
    write_planned(tx, &scope, id, RunKind::SignInActivity, None).await
}

/// The plan itself, as who acts.
fn schedule(db: &Db, partner: PartnerId) -> Scope {
    let actor = Actor {
        kind: "run",
        id: String::new(),
        name: "schedule".into(),
        address: String::new(),
    };
    Scope::new(db, partner, Role::Technician, actor)
}

/// The slots of now for a mapping of the default interval: those in which it is made are served by
/// its first runs.
pub(crate) fn present_slots(now: Timestamp, mapping: MappingId, minutes: i64) -> (i64, i64) {
    (
        slot(now, mapping, RunKind::Directory, minutes),
        slot(now, mapping, RunKind::SecureScore, SECURE_SCORE_MINUTES),
    )
}

/// After a change of a credential's interval: its mappings wait for the next slot of the new length.
pub(crate) async fn renumber(
    tx: &crate::db::Tx,
    scope: &Scope,
    credential: crate::CredentialId,
    minutes: i64,
) -> Result<()> {
    let mappings = mapping::Entity::find()
        .filter(mapping::Column::PartnerId.eq(scope.partner()))
        .filter(mapping::Column::CredentialId.eq(credential))
        .filter(mapping::Column::IntervalMinutes.is_null())
        .all(&tx.conn)
        .await?;
    for mapping in mappings {
        let (slot, _) = present_slots(scope.now(), mapping.id, minutes);
        execute(
            &tx.conn,
            "UPDATE mappings SET planned_directory = $1 WHERE partner_id = $2 AND id = $3",
            vec![slot.into(), scope.partner().into(), mapping.id.into()],
        )
        .await?;
    }
    Ok(())
}

/// The number of the slot that `now` falls into. Each mapping and kind has its own stable place in
/// the interval, so that thousands of mappings do not start together.
pub(super) fn slot(now: Timestamp, mapping: MappingId, kind: RunKind, minutes: i64) -> i64 {
    let (interval, place) = place(mapping, kind, minutes);
    (now.0 - place).div_euclid(interval)
}

/// When a slot begins.
pub(super) fn begins(slot: i64, mapping: MappingId, kind: RunKind, minutes: i64) -> Timestamp {
    let (interval, place) = place(mapping, kind, minutes);
    Timestamp(slot * interval + place)
}

/// Length of a slot, and where in it the mapping has its place; milliseconds.
fn place(mapping: MappingId, kind: RunKind, minutes: i64) -> (i64, i64) {
    let interval = minutes.max(1) * 60_000;
    let digest = keys::fingerprint(&format!("{mapping}/{kind}"));
    let place = i64::from_str_radix(&digest[..12], 16).unwrap_or_default() % interval;
    (interval, place)
}

/// Takes one slot and writes its run; `false` when another process did, or when a run is open, which
/// then serves the slot.
async fn take_slot(
    db: &Db,
    partner: PartnerId,
    id: MappingId,
    kind: RunKind,
    slot: i64,
    column: &str,
) -> Result<bool> {
    let scope = schedule(db, partner);
    let tx = scope.begin().await?;
    let taken = execute(
        &tx.conn,
        &format!(
            "UPDATE mappings SET {column} = $1 WHERE partner_id = $2 AND id = $3
                AND deleted_at IS NULL AND ({column} IS NULL OR {column} < $1)"
        ),
        vec![slot.into(), partner.into(), id.into()],
    )
    .await?;
    if taken == 0 {
        return Ok(false);
    }
    write_planned(tx, &scope, id, kind, Some(slot)).await
}

/// Writes a scheduled run, unless one is open, which then serves the slot; and commits.
async fn write_planned(
    tx: Tx,
    scope: &Scope,
    id: MappingId,
    kind: RunKind,
    slot: Option<i64>,
) -> Result<bool> {
    let partner = scope.partner();
    let mapping: Option<Mapping> = mapping::Entity::find_by_id((partner, id))
        .one(&tx.conn)
        .await?;
    let open = run::Entity::find()
        .filter(run::Column::PartnerId.eq(partner))
        .filter(run::Column::MappingId.eq(id))
        .filter(run::Column::Kind.eq(kind))
        .filter(run::Column::State.is_in(["queued", "running", "retrying"]))
        .one(&tx.conn)
        .await?;
    let (Some(mapping), None) = (mapping, open) else {
        tx.commit().await?;
        return Ok(false);
    };
    super::insert(&tx, scope, &mapping, kind, RunCause::Schedule, slot, None).await?;
    tx.commit().await?;
    Ok(true)
}

/// Handed over and not claimed yet, at most: what people ask for must not queue behind thousands of
/// scheduled runs. Their own runs are handed over at once, however many wait.
const OUTSTANDING: i64 = 64;

/// Runs that wait for a worker now and were not handed to the queue for this attempt, or were so
/// long ago that the hand-over must have been lost. People's runs first, then the oldest.
///
/// All by the database's clock, which is everybody's: what a machine with a fast clock planned is due
/// for the others as well.
pub async fn due(db: &Db) -> Result<Vec<Due>> {
    // Pushed so long ago by the database's clock, the push must have been lost.
    let lost = format!("{} - 60000", db.now_sql());
    let outstanding: i64 = query_all(
        &db.everybody(),
        &format!(
            "SELECT COUNT(*) AS n FROM runs WHERE state IN ('queued', 'retrying')
                AND pushed_attempt = attempt AND pushed_at >= {lost}"
        ),
        vec![],
    )
    .await?
    .first()
    .map_or(Ok(0), |row| row.try_get("", "n"))?;
    let scheduled_too = if outstanding < OUTSTANDING { 0 } else { 1 };
    let rows = query_all(
        &db.everybody(),
        &format!(
            "SELECT partner_id, id, attempt, fence, priority FROM runs
             WHERE state IN ('queued', 'retrying') AND not_before <= {} AND priority >= $1
                AND (pushed_attempt IS NULL OR pushed_attempt <> attempt OR pushed_at < {lost})
             ORDER BY priority DESC, created_at LIMIT $2",
            db.now_sql()
        ),
        vec![i64::from(scheduled_too).into(), OUTSTANDING.into()],
    )
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Due {
                partner: row.try_get("", "partner_id")?,
                run: row.try_get("", "id")?,
                attempt: row.try_get("", "attempt")?,
                fence: row.try_get("", "fence")?,
                priority: row.try_get("", "priority")?,
            })
        })
        .collect()
}

/// Notes that due runs were handed to the queue.
///
/// A worker may be faster than this note. What it claimed meanwhile, perhaps gave back with the number of
/// the same attempt, or what somebody has begun to wait for, is to be handed over once more: noted now, it
/// would wait for the minute after which a hand-over is held to be lost.
pub async fn mark_pushed(db: &Db, all: &[Due]) -> Result<()> {
    // In the order of their ids: two schedulers may do this at once.
    let mut all = all.to_vec();
    all.sort_unstable_by_key(|due| due.run);
    let tx = db.everybody_writer().begin().await?;
    for due in all {
        execute(
            &tx.conn,
            &format!(
                "UPDATE runs SET pushed_attempt = $1, pushed_at = {}
                 WHERE partner_id = $2 AND id = $3 AND fence = $4 AND priority = $5",
                db.now_sql()
            ),
            vec![
                due.attempt.into(),
                due.partner.into(),
                due.run.into(),
                due.fence.into(),
                due.priority.into(),
            ],
        )
        .await?;
    }
    tx.commit().await
}

/// Takes runs back whose lease ran out, because their worker died: queued again, or failed after
/// the last attempt, or cancelled when that was asked. Answers how many.
pub async fn sweep(db: &Db) -> Result<usize> {
    let dead: Vec<Run> = {
        let rows = query_all(
            &db.everybody(),
            &format!(
                "SELECT partner_id, id FROM runs WHERE state = 'running' AND lease_until < {}",
                db.now_sql()
            ),
            vec![],
        )
        .await?;
        let mut dead = Vec::new();
        for row in rows {
            let key: (PartnerId, RunId) = (row.try_get("", "partner_id")?, row.try_get("", "id")?);
            dead.extend(run::Entity::find_by_id(key).one(&db.conn_of(key.0)).await?);
        }
        dead
    };
    let mut swept = 0;
    for run in dead {
        let (state, level, text) = if run.cancel_requested_at.is_some() {
            ("cancelled", "warn", "Cancelled; its worker had stopped")
        } else if run.attempt >= super::MAX_ATTEMPTS {
            (
                "failed",
                "error",
                "Its workers stopped five times; it is given up",
            )
        } else {
            ("queued", "warn", "Its worker stopped; queued again")
        };
        let tx = begin_for(db, run.partner_id).await?;
        let now = db.clock().now();
        let changed = execute(
            &tx.conn,
            &format!(
                "UPDATE runs SET state = $1, worker = NULL, lease_until = NULL, not_before = {},
                    finished_at = CASE WHEN $1 = 'queued' THEN NULL ELSE CAST($2 AS BIGINT) END,
                    error = CASE WHEN $1 = 'failed' THEN $3 ELSE error END
                 WHERE partner_id = $4 AND id = $5 AND fence = $6 AND state = 'running'
                    AND lease_until < {}",
                db.now_sql(),
                db.now_sql()
            ),
            vec![
                state.into(),
                now.into(),
                text.into(),
                run.partner_id.into(),
                run.id.into(),
                run.fence.into(),
            ],
        )
        .await?;
        if changed == 1 {
            if state == "queued" {
                // What its worker read was not published: it is read again.
                execute(
                    &tx.conn,
                    "DELETE FROM run_collectors WHERE partner_id = $1 AND run_id = $2",
                    vec![run.partner_id.into(), run.id.into()],
                )
                .await?;
            } else {
                super::lease::end_collectors(&tx, &run, now).await?;
            }
            run_event::append(&tx.conn, run.partner_id, run.id, now, level, text).await?;
            let detail = json!({ "kind": run.kind, "attempt": run.attempt, "state": state,
                "reason": text });
            let (scope, target) = (schedule(db, run.partner_id), Target::new("run", run.id, ""));
            audit::append(&tx, &scope, "run.end", target, detail).await?;
            let ended = state.parse().map_err(Error::Stored)?;
            delivery::tell_run(&tx, &scope, &run, ended, Some(text)).await?;
            swept += 1;
        }
        tx.commit().await?;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    #[test]
    fn slots_are_stable_and_spread_over_the_interval() {
        let clock = Clock::system();
        let day = 24 * 60 * 60_000;
        let start = Timestamp(1_800_000_000_000);
        let mut by_hour = [0u32; 24];
        for _ in 0..2000 {
            let id = MappingId::generate(&clock);
            let first = slot(start, id, RunKind::Directory, 1440);
            let next = begins(first + 1, id, RunKind::Directory, 1440);
            assert_eq!(slot(next, id, RunKind::Directory, 1440), first + 1);
            assert_eq!(slot(next.plus_ms(-1), id, RunKind::Directory, 1440), first);
            assert_eq!(
                slot(start.plus_ms(day), id, RunKind::Directory, 1440),
                first + 1
            );
            let begins = (0..24)
                .find(|h| {
                    slot(
                        start.plus_ms(h * 3_600_000 + 3_599_999),
                        id,
                        RunKind::Directory,
                        1440,
                    ) != first
                })
                .unwrap_or(23);
            by_hour[usize::try_from(begins).unwrap()] += 1;
        }
        assert!(by_hour.iter().all(|n| (40..140).contains(n)), "{by_hour:?}");
    }
}
