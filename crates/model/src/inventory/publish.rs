//! What a stage saves beside objects: the progress of collectors, where collections were read to, the
//! mark of an attempt that wrote, and the generation that readers see.

use sea_orm::Value;

use super::{stage::Progress, write};
use crate::{
    CollectorState, Result,
    db::{Tx, execute, query_all, rows},
    run::lease::Lease,
};

/// Saves how collectors stand: all in one statement, because each waits its turn on the connection.
pub(super) async fn save_progress(tx: &Tx, run: &crate::Run, changed: &[Progress]) -> Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let mut values: Vec<Value> = Vec::with_capacity(changed.len() * 19);
    for p in changed {
        let end = p.end.as_ref();
        let counts = p.counts;
        values.extend([
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
            end.and_then(|e| e.code.clone()).into(),
            end.and_then(|e| e.reason.clone()).into(),
            end.and_then(|e| e.remedy.clone()).into(),
            p.started_at.into(),
            p.finished_at.into(),
        ]);
    }
    let sql = format!(
        "INSERT INTO run_collectors (partner_id, run_id, name, position, state, pages, objects_read,
            objects_new, objects_changed, objects_removed, expected, requests, throttled, waited_ms,
            code, reason, remedy, started_at, finished_at)
         VALUES {}
         ON CONFLICT (partner_id, run_id, name) DO UPDATE SET position = excluded.position,
            state = excluded.state, pages = excluded.pages, objects_read = excluded.objects_read,
            objects_new = excluded.objects_new, objects_changed = excluded.objects_changed,
            objects_removed = excluded.objects_removed, expected = excluded.expected,
            requests = excluded.requests, throttled = excluded.throttled,
            waited_ms = excluded.waited_ms, code = excluded.code, reason = excluded.reason,
            remedy = excluded.remedy, started_at = excluded.started_at,
            finished_at = excluded.finished_at",
        rows(changed.len(), 19)
    );
    execute(&tx.conn, &sql, values).await?;
    Ok(())
}

/// Collections that were read move their cursors; a fall that is held back keeps one from moving, so
/// that the next pass reads the whole. A pass that holds back has not seen a confirmation; one that is
/// there by now came meanwhile, and is for the next pass.
pub(super) async fn save_collections(tx: &Tx, lease: &Lease, all: &[Progress]) -> Result<()> {
    let now = lease.scope().now();
    let mut values: Vec<Value> = vec![];
    let mut count = 0;
    for p in all {
        let stands = matches!(p.state, CollectorState::Succeeded | CollectorState::Partial);
        let Some(cursor) = p.cursor.as_ref().filter(|_| stands) else {
            continue;
        };
        let is_held = p.held.is_some();
        values.extend(write::keys(lease));
        values.extend([
            p.name.into(),
            cursor.link.clone().filter(|_| !is_held).into(),
            Some(cursor.at).filter(|_| !is_held).into(),
            now.into(),
            cursor.full.then_some(now).into(),
            is_held.then_some(now).into(),
            p.held.map(|(missing, _)| missing).into(),
            p.held.map(|(_, known)| known).into(),
        ]);
        count += 1;
    }
    if count == 0 {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO collections (partner_id, mapping_id, name, cursor, cursor_at, read_at, full_at,
            held_at, held_missing, held_known)
         VALUES {}
         ON CONFLICT (partner_id, mapping_id, name) DO UPDATE SET cursor = excluded.cursor,
            cursor_at = excluded.cursor_at, read_at = excluded.read_at,
            full_at = COALESCE(excluded.full_at, collections.full_at),
            held_at = CASE WHEN excluded.held_at IS NULL THEN NULL
                ELSE COALESCE(collections.held_at, excluded.held_at) END,
            held_missing = excluded.held_missing, held_known = excluded.held_known,
            confirmed_at = CASE WHEN excluded.held_at IS NULL THEN NULL
                ELSE collections.confirmed_at END",
        rows(count, 10)
    );
    execute(&tx.conn, &sql, values).await?;
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
