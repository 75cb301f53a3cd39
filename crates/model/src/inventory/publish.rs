//! What a stage saves beside objects: the progress of collectors, where collections were read to, the
//! mark of an attempt that wrote, and the generation that readers see.

use sea_orm::Value;

use super::{stage::Progress, write};
use crate::{
    CollectorState, Result, Timestamp,
    db::{Tx, execute, query_all},
    run::lease::Lease,
};

pub(super) async fn save_progress(tx: &Tx, run: &crate::Run, p: &Progress) -> Result<()> {
    let end = p.end.clone();
    let counts = p.counts;
    let values: Vec<Value> = vec![
        run.partner_id.into(),
        run.id.into(),
        p.name.into(),
        p.position.into(),
        p.state.as_str().into(),
        counts.pages.into(),
        counts.read.into(),
        counts.new.into(),
        counts.changed.into(),
        counts.removed.into(),
        p.expected.into(),
        counts.requests.into(),
        counts.throttled.into(),
        counts.waited_ms.into(),
        end.as_ref().and_then(|e| e.code.clone()).into(),
        end.as_ref().and_then(|e| e.reason.clone()).into(),
        end.and_then(|e| e.remedy).into(),
        p.started_at.into(),
        p.finished_at.into(),
    ];
    execute(
        &tx.conn,
        "INSERT INTO run_collectors (partner_id, run_id, name, position, state, pages, objects_read,
            objects_new, objects_changed, objects_removed, expected, requests, throttled, waited_ms,
            code, reason, remedy, started_at, finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT (partner_id, run_id, name) DO UPDATE SET position = excluded.position,
            state = excluded.state, pages = excluded.pages, objects_read = excluded.objects_read,
            objects_new = excluded.objects_new, objects_changed = excluded.objects_changed,
            objects_removed = excluded.objects_removed, expected = excluded.expected,
            requests = excluded.requests, throttled = excluded.throttled,
            waited_ms = excluded.waited_ms, code = excluded.code, reason = excluded.reason,
            remedy = excluded.remedy, started_at = excluded.started_at,
            finished_at = excluded.finished_at",
        values,
    )
    .await?;
    Ok(())
}

/// A collection that was read moves its cursor; a fall that is held back keeps it from moving, so
/// that the next pass reads the whole. A confirmation that came while this pass was reading is for
/// the next one.
pub(super) async fn save_collection(
    tx: &Tx,
    lease: &Lease,
    p: &Progress,
    began: Timestamp,
) -> Result<()> {
    let Some(cursor) = &p.cursor else {
        return Ok(());
    };
    if !matches!(p.state, CollectorState::Succeeded | CollectorState::Partial) {
        return Ok(());
    }
    let is_held = p.held.is_some();
    let now = lease.scope().now();
    let mut values = write::keys(lease);
    values.extend([
        p.name.into(),
        cursor.link.clone().filter(|_| !is_held).into(),
        Some(cursor.at).filter(|_| !is_held).into(),
        now.into(),
        cursor.full.then_some(now).into(),
        is_held.then_some(now).into(),
        p.held.map(|(missing, _)| missing).into(),
        p.held.map(|(_, known)| known).into(),
        began.into(),
    ]);
    execute(
        &tx.conn,
        "INSERT INTO collections (partner_id, mapping_id, name, cursor, cursor_at, read_at, full_at,
            held_at, held_missing, held_known)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (partner_id, mapping_id, name) DO UPDATE SET cursor = excluded.cursor,
            cursor_at = excluded.cursor_at, read_at = excluded.read_at,
            full_at = COALESCE(excluded.full_at, collections.full_at),
            held_at = CASE WHEN excluded.held_at IS NULL THEN NULL
                ELSE COALESCE(collections.held_at, excluded.held_at) END,
            held_missing = excluded.held_missing, held_known = excluded.held_known,
            confirmed_at = CASE WHEN excluded.held_at IS NOT NULL AND collections.confirmed_at >= $11
                THEN collections.confirmed_at ELSE NULL END",
        values,
    )
    .await?;
    Ok(())
}

/// The mark of a kind: `staged` of a row without a collection's name.
fn mark(lease: &Lease) -> Vec<Value> {
    let mut values = write::keys(lease);
    values.push(format!("({})", lease.run.kind).into());
    values
}

/// Notes that something was written that readers must not see yet.
pub(super) async fn set_mark(tx: &Tx, lease: &Lease) -> Result<()> {
    let mut values = mark(lease);
    values.push(lease.generation().into());
    execute(
        &tx.conn,
        "INSERT INTO collections (partner_id, mapping_id, name, staged) VALUES ($1, $2, $3, $4)
         ON CONFLICT (partner_id, mapping_id, name) DO UPDATE SET staged = excluded.staged",
        values,
    )
    .await?;
    Ok(())
}

/// Whether an attempt wrote something and died before it was published or taken back.
pub(super) async fn take_mark(tx: &Tx, lease: &Lease) -> Result<bool> {
    let taken = query_all(
        &tx.conn,
        "UPDATE collections SET staged = 0
         WHERE partner_id = $1 AND mapping_id = $2 AND name = $3 AND staged > 0 RETURNING staged",
        mark(lease),
    )
    .await?;
    Ok(!taken.is_empty())
}

/// Shows this generation to readers.
pub(super) async fn publish(tx: &Tx, lease: &Lease) -> Result<()> {
    take_mark(tx, lease).await?;
    let mut values = write::keys(lease);
    values.extend([
        lease.run.kind.as_str().into(),
        lease.generation().into(),
        lease.scope().now().into(),
    ]);
    execute(
        &tx.conn,
        "UPDATE snapshots SET published = $4, published_at = $5
         WHERE partner_id = $1 AND mapping_id = $2 AND kind = $3",
        values,
    )
    .await?;
    Ok(())
}
