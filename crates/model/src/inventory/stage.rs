//! What a run writes, gathered into short transactions: pages of several collectors go together, and
//! a small tenant is one transaction. Each checks the run's fence. Nothing of it is seen by readers
//! until [`Stage::finish`] publishes it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use sea_orm::Value;
use tokio::sync::{Notify, Semaphore};

use super::{
    Collection, Object, TABLES, Table,
    collection::{FALL_LEAST, FALL_PERCENT},
    write,
};
use crate::{
    CollectorState, Error, Result, RunState, Timestamp,
    db::{Tx, execute, query_all},
    run::lease::{Beat, CollectorEnd, Counts, Failure, Lease},
    run_event,
};

/// Rows gathered before a transaction.
const BATCH: usize = 4000;
/// Rows that may wait to be written: whoever reads more waits.
const WAITING: usize = 3 * BATCH;
/// Progress is written at least so often while something is read.
const PACE: Duration = Duration::from_millis(500);
/// The lease is renewed so often when nothing is written; cancelling is noticed within it.
const RENEW: Duration = Duration::from_millis(900);

/// What one collector did so far.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub state: CollectorState,
    /// Objects that it will likely read.
    pub expected: Option<i64>,
    /// What it did.
    pub counts: Counts,
    /// How it ended.
    pub end: Option<CollectorEnd>,
    position: i64,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// A fall of the collection that is held back: objects missing, objects known.
    held: Option<(i64, i64)>,
    cursor: Option<Cursor>,
    tables: BTreeSet<usize>,
}

/// Where a collection was read to.
#[derive(Debug, Clone)]
struct Cursor {
    /// Where its changes go on, if Graph says so.
    link: Option<String>,
    /// When that was asked for.
    at: Timestamp,
    /// Whether it was read as a whole.
    full: bool,
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default)]
struct Effect {
    counts: Counts,
    held: Option<(i64, i64)>,
}

type Write = Box<dyn for<'a> FnOnce(&'a Tx, &'a Lease) -> BoxFuture<'a, Result<Effect>> + Send>;

#[derive(Default)]
struct Buffer {
    writes: Vec<(&'static str, Write)>,
    rows: usize,
    progress: BTreeMap<&'static str, Progress>,
    events: Vec<(Timestamp, &'static str, String)>,
    changed: BTreeSet<&'static str>,
    places: usize,
}

/// What a run writes.
pub struct Stage {
    lease: Lease,
    buffer: Mutex<Buffer>,
    /// Whoever flushes.
    turn: tokio::sync::Mutex<()>,
    /// Places for rows that wait.
    places: Semaphore,
    /// Says that a batch is full, or that nothing more comes.
    full: Notify,
    is_over: AtomicBool,
    /// Whether something that was read could not be written: nothing may be published then.
    is_broken: AtomicBool,
    began: Timestamp,
    collections: HashMap<String, Collection>,
    empty: BTreeSet<&'static str>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage(run {})", self.lease.run.id)
    }
}

impl Stage {
    /// Begins: takes back what an attempt left that died, and learns what is stored.
    pub async fn begin(lease: Lease) -> Result<Self> {
        let tx = lease.begin().await?;
        let tables: Vec<&'static Table> = TABLES
            .iter()
            .copied()
            .filter(|t| t.kind == lease.run.kind)
            .collect();
        if take_mark(&tx, &lease).await? {
            for table in &tables {
                write::discard(&tx, &lease, table).await?;
            }
        }
        let empty = write::empty(&tx, &lease, &tables).await?;
        tx.commit().await?;
        let began = lease.scope().now();
        let collections = super::collections(lease.scope(), lease.mapping_id()).await?;
        Ok(Self {
            lease,
            buffer: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            places: Semaphore::new(WAITING),
            full: Notify::new(),
            is_over: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            began,
            collections,
            empty,
        })
    }

    /// The hold on the run.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What is known of a collection.
    pub fn collection(&self, name: &str) -> Collection {
        self.collections.get(name).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists the collectors that this attempt will run, after those of an earlier attempt whose
    /// work is published already.
    pub fn announce(&self, names: &[&'static str], from: usize) {
        let mut buffer = self.lock();
        for (i, name) in names.iter().enumerate() {
            let progress = Progress {
                name,
                state: CollectorState::Waiting,
                expected: None,
                counts: Counts::default(),
                end: None,
                position: i64::try_from(from + i).unwrap_or_default(),
                started_at: None,
                finished_at: None,
                held: None,
                cursor: None,
                tables: BTreeSet::new(),
            };
            buffer.progress.insert(name, progress);
            buffer.changed.insert(name);
        }
    }

    fn note(&self, name: &'static str, note: impl FnOnce(&mut Progress)) {
        let mut buffer = self.lock();
        if let Some(progress) = buffer.progress.get_mut(name) {
            note(progress);
            buffer.changed.insert(name);
        }
    }

    /// Marks a collector as reading.
    pub fn started(&self, name: &'static str) {
        let now = self.lease.scope().now();
        self.note(name, |p| {
            p.state = CollectorState::Running;
            p.started_at = Some(now);
        });
    }

    /// Says how many objects a collector will likely read.
    pub fn expect(&self, name: &'static str, objects: i64) {
        self.note(name, |p| p.expected = (objects > 0).then_some(objects));
    }

    /// Adds to a collector's counts what wrote nothing.
    pub fn count(&self, name: &'static str, counts: Counts) {
        self.note(name, |p| p.counts.add(counts));
    }

    /// Adds a line to the timeline.
    pub fn event(&self, level: &'static str, text: String) {
        let now = self.lease.scope().now();
        self.lock().events.push((now, level, text));
    }

    /// Ends a collector and says so in the timeline. What it wrote is published with the run unless
    /// it is [`Stage::abandon`]ed.
    pub fn ended(&self, name: &'static str, end: CollectorEnd) {
        let now = self.lease.scope().now();
        let level = match end.state {
            CollectorState::Succeeded => "info",
            CollectorState::Failed => "error",
            _ => "warn",
        };
        let label = name.replace('_', " ");
        let text = match &end.reason {
            Some(reason) => format!("{label}: {}. {reason}", end.state),
            None => format!("{label}: {}", end.state),
        };
        self.note(name, |p| {
            p.state = end.state;
            p.finished_at = Some(now);
            p.end = Some(end);
        });
        self.lock().events.push((now, level, text));
    }

    /// Notes where a collection was read to: `link` is where its changes go on, asked for at `at`.
    pub fn read_to(&self, name: &'static str, link: Option<String>, at: Timestamp, full: bool) {
        self.note(name, |p| p.cursor = Some(Cursor { link, at, full }));
    }

    /// How a collector stands.
    pub fn progress(&self, name: &str) -> Option<Progress> {
        self.lock().progress.get(name).cloned()
    }

    async fn push(
        &self,
        name: &'static str,
        table: &'static Table,
        rows: usize,
        write: Write,
    ) -> Result<()> {
        let places = u32::try_from(rows.clamp(1, WAITING)).unwrap_or(u32::MAX);
        match self.places.acquire_many(places).await {
            Ok(taken) => taken.forget(),
            Err(_) => return Err(Error::LeaseLost),
        }
        let mut buffer = self.lock();
        buffer.writes.push((name, write));
        buffer.rows += rows;
        buffer.places += places as usize;
        let index = TABLES.iter().position(|t| t.name == table.name);
        if let Some(progress) = buffer.progress.get_mut(name) {
            progress.tables.extend(index);
        }
        if buffer.rows >= BATCH {
            self.full.notify_one();
        }
        Ok(())
    }

    /// Says that the collectors have ended: [`Stage::keep`] ends after what it is writing.
    pub fn over(&self) {
        self.is_over.store(true, Ordering::Release);
        self.full.notify_one();
    }

    /// Writes what is gathered, batch after batch, and keeps the lease, until the run is cancelled
    /// or lost, or [`Stage::over`]. Runs beside the collectors, and must not be dropped before it
    /// ends: what it took to write would be lost. When the database does not answer for two thirds of
    /// `lease`, the lease counts as lost: another worker may have it by then.
    pub async fn keep(&self, lease: Duration) -> Beat {
        let mut held_at = tokio::time::Instant::now();
        loop {
            let pace = PACE.min(lease / 3);
            let full = tokio::time::timeout(pace, self.full.notified())
                .await
                .is_ok();
            if self.is_over.load(Ordering::Acquire) {
                return Beat::Held;
            }
            let beat = match full || self.waits() {
                true => self.flush().await.map(|()| Beat::Held),
                false if held_at.elapsed() < RENEW => continue,
                false => self.lease.beat().await,
            };
            match beat {
                Ok(Beat::Held) => held_at = tokio::time::Instant::now(),
                Ok(other) => return other,
                Err(Error::LeaseLost) => match self.lease.beat().await {
                    Ok(Beat::Cancelled) => return Beat::Cancelled,
                    _ => return Beat::Lost,
                },
                Err(error) => {
                    tracing::warn!(%error, "a run could not write");
                    let is_broken = self.is_broken.load(Ordering::Acquire);
                    if is_broken || held_at.elapsed() > lease * 2 / 3 {
                        return Beat::Lost;
                    }
                }
            }
        }
    }

    /// Writes one page; `counts` carries what it cost to read.
    pub async fn page<O: Object>(
        &self,
        name: &'static str,
        rows: Vec<O>,
        counts: Counts,
    ) -> Result<()> {
        self.count(name, counts);
        if rows.is_empty() {
            return Ok(());
        }
        let first = self.empty.contains(O::TABLE.name);
        let weight = rows.len();
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                let counts = write::upsert(tx, lease, rows, first).await?;
                Ok(Effect { counts, held: None })
            })
        });
        self.push(name, O::TABLE, weight, write).await
    }

    /// Ends objects that Microsoft says are gone; of one parent where the table has parents.
    pub async fn remove<O: Object>(
        &self,
        name: &'static str,
        parent: Option<String>,
        ids: Vec<String>,
    ) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let weight = ids.len();
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                let table = O::TABLE;
                removed(write::remove(tx, lease, table, parent.as_deref(), &ids).await?)
            })
        });
        self.push(name, O::TABLE, weight, write).await
    }

    /// Ends everything that belongs to these parents.
    pub async fn remove_of<O: Object>(
        &self,
        name: &'static str,
        parents: Vec<String>,
    ) -> Result<()> {
        if parents.is_empty() {
            return Ok(());
        }
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move { removed(write::remove_of(tx, lease, O::TABLE, &parents).await?) })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// After a complete pass, and only then: ends what the pass did not see, but for what belongs
    /// to parents that could not be read.
    pub async fn complete<O: Object>(&self, name: &'static str, spare: Vec<String>) -> Result<()> {
        if self.empty.contains(O::TABLE.name) {
            return Ok(());
        }
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                write::spare(tx, lease, O::TABLE, &spare).await?;
                removed(write::remove_unseen(tx, lease, O::TABLE).await?)
            })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// The same of these parents alone, each of which was read whole.
    pub async fn complete_of<O: Object>(
        &self,
        name: &'static str,
        parents: Vec<String>,
    ) -> Result<()> {
        if parents.is_empty() || self.empty.contains(O::TABLE.name) {
            return Ok(());
        }
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                removed(write::remove_unseen_of(tx, lease, O::TABLE, &parents).await?)
            })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// Holds back a fall of more than a fifth of the collection, until somebody confirms it.
    /// Called after the last removal of a pass.
    pub async fn guard<O: Object>(&self, name: &'static str) -> Result<()> {
        if self.empty.contains(O::TABLE.name) {
            return Ok(());
        }
        let confirmed = self
            .collection(name)
            .hold
            .is_some_and(|hold| hold.confirmed_at.is_some());
        // Removals of this pass that were not written yet are among the writes before this one, so
        // the count is taken when its turn comes.
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                let table = O::TABLE;
                let missing = write::ended(tx, lease, table).await?;
                if missing < FALL_LEAST || confirmed {
                    return Ok(Effect::default());
                }
                let known = write::present(&tx.conn, lease, table).await?;
                if missing * 100 <= known * FALL_PERCENT {
                    return Ok(Effect::default());
                }
                write::restore(tx, lease, table).await?;
                let counts = Counts {
                    removed: -missing,
                    ..Counts::default()
                };
                Ok(Effect {
                    counts,
                    held: Some((missing, known)),
                })
            })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// Takes back everything that a collector wrote in this run: nothing is concluded from half of
    /// a collection.
    pub async fn abandon(&self, name: &'static str) -> Result<()> {
        let tables: Vec<usize> = match self.lock().progress.get_mut(name) {
            Some(progress) => {
                progress.cursor = None;
                std::mem::take(&mut progress.tables).into_iter().collect()
            }
            None => vec![],
        };
        for table in tables.into_iter().map(|i| TABLES[i]) {
            let write: Write = Box::new(move |tx, lease| {
                Box::pin(async move {
                    write::discard(tx, lease, table).await?;
                    Ok(Effect::default())
                })
            });
            self.lock().writes.push((name, write));
        }
        self.note(name, |p| {
            let Counts {
                new,
                changed,
                removed,
                ..
            } = &mut p.counts;
            (*new, *changed, *removed) = (0, 0, 0);
        });
        self.flush().await
    }

    /// Number of objects of a table that readers see.
    pub async fn present<O: Object>(&self) -> Result<i64> {
        if self.empty.contains(O::TABLE.name) {
            return Ok(0);
        }
        let db = self.lease.scope().db();
        write::present(db.conn(), &self.lease, O::TABLE).await
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when the run was cancelled or taken over: nothing is written then.
    pub async fn flush(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        if !self.waits() {
            return Ok(());
        }
        let written = self.flush_buffer().await;
        if written.is_err() {
            self.is_broken.store(true, Ordering::Release);
        }
        written
    }

    async fn flush_buffer(&self) -> Result<()> {
        let (writes, events, places) = {
            let mut buffer = self.lock();
            buffer.rows = 0;
            (
                std::mem::take(&mut buffer.writes),
                std::mem::take(&mut buffer.events),
                std::mem::take(&mut buffer.places),
            )
        };
        let tx = self.lease.begin().await?;
        if !writes.is_empty() {
            set_mark(&tx, &self.lease).await?;
        }
        let effects = self.write(&tx, writes).await?;
        let changed = self.apply(&effects);
        self.save(&tx, &changed, &events).await?;
        tx.commit().await?;
        self.places.add_permits(places);
        Ok(())
    }

    async fn write(
        &self,
        tx: &Tx,
        writes: Vec<(&'static str, Write)>,
    ) -> Result<Vec<(&'static str, Effect)>> {
        let mut effects = Vec::with_capacity(writes.len());
        for (name, write) in writes {
            effects.push((name, write(tx, &self.lease).await?));
        }
        Ok(effects)
    }

    /// Adds effects to the progress; answers what has to be saved.
    fn apply(&self, effects: &[(&'static str, Effect)]) -> Vec<Progress> {
        let mut buffer = self.lock();
        let mut changed = std::mem::take(&mut buffer.changed);
        for (name, effect) in effects {
            if let Some(progress) = buffer.progress.get_mut(name) {
                progress.counts.add(effect.counts);
                progress.held = progress.held.or(effect.held);
                changed.insert(name);
            }
        }
        changed
            .iter()
            .filter_map(|name| buffer.progress.get(name).cloned())
            .collect()
    }

    /// Saves progress and timeline.
    async fn save(
        &self,
        tx: &Tx,
        changed: &[Progress],
        events: &[(Timestamp, &'static str, String)],
    ) -> Result<()> {
        let run = &self.lease.run;
        for progress in changed {
            save_progress(tx, run, progress).await?;
        }
        for (at, level, text) in events {
            run_event::append(&tx.conn, run.partner_id, run.id, *at, level, text).await?;
        }
        Ok(())
    }

    fn waits(&self) -> bool {
        let buffer = self.lock();
        !buffer.changed.is_empty() || !buffer.events.is_empty() || !buffer.writes.is_empty()
    }

    /// Decides what a held-back fall makes of a collector's end.
    fn judge(&self) {
        let held: Vec<(&'static str, i64, i64)> = self
            .lock()
            .progress
            .values()
            .filter_map(|p| p.held.map(|(missing, known)| (p.name, missing, known)))
            .collect();
        for (name, missing, known) in held {
            let is_whole = self
                .progress(name)
                .is_some_and(|p| p.state == CollectorState::Succeeded);
            if is_whole {
                self.ended(
                    name,
                    CollectorEnd {
                        state: CollectorState::Partial,
                        code: None,
                        reason: Some(format!(
                            "{missing} of {known} were missing from Microsoft's answer, so none was removed."
                        )),
                        remedy: Some(
                            "If they are really gone, confirm it on the company's page; the next sync removes them.".into(),
                        ),
                    },
                );
            }
        }
    }

    /// Writes the rest, and answers how the collectors ended.
    pub async fn settle_collectors(&self) -> Result<Vec<Progress>> {
        self.flush().await?;
        self.judge();
        Ok(self.lock().progress.values().cloned().collect())
    }

    /// Ends the attempt in one transaction: what was read appears, cursors move, the run settles, or
    /// is tried again at `retry_at`.
    pub async fn finish(
        &self,
        state: RunState,
        retry_at: Option<Timestamp>,
        failure: Option<&Failure>,
    ) -> Result<()> {
        let _turn = self.turn.lock().await;
        if self.is_broken.load(Ordering::Acquire) {
            return Err(Error::Stored(
                "what was read could not be written, so it is read again".into(),
            ));
        }
        let tx = self.lease.begin().await?;
        let (writes, events) = {
            let mut buffer = self.lock();
            (
                std::mem::take(&mut buffer.writes),
                std::mem::take(&mut buffer.events),
            )
        };
        let effects = self.write(&tx, writes).await?;
        let changed = self.apply(&effects);
        self.save(&tx, &changed, &events).await?;
        let all: Vec<Progress> = self.lock().progress.values().cloned().collect();
        for progress in &all {
            save_collection(&tx, &self.lease, progress, self.began).await?;
        }
        if state != RunState::Failed {
            publish(&tx, &self.lease).await?;
        }
        self.lease.leave_in(&tx, state, retry_at, failure).await?;
        tx.commit().await
    }
}

fn removed(count: u64) -> Result<Effect> {
    let counts = Counts {
        removed: i64::try_from(count).unwrap_or_default(),
        ..Counts::default()
    };
    Ok(Effect { counts, held: None })
}

async fn save_progress(tx: &Tx, run: &crate::Run, p: &Progress) -> Result<()> {
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
async fn save_collection(tx: &Tx, lease: &Lease, p: &Progress, began: Timestamp) -> Result<()> {
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
        cursor.at.into(),
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
async fn set_mark(tx: &Tx, lease: &Lease) -> Result<()> {
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
async fn take_mark(tx: &Tx, lease: &Lease) -> Result<bool> {
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
async fn publish(tx: &Tx, lease: &Lease) -> Result<()> {
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
