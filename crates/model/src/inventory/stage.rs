//! What a run writes, gathered into short transactions: pages of several collectors go together, and
//! a small tenant is one transaction. Each checks the run's fence. Nothing of it is seen by readers
//! until [`Stage::finish`] publishes it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore};

use super::{
    Collection, Object, TABLES, Table,
    collection::{FALL_LEAST, FALL_PERCENT},
    publish, write,
};
use crate::{
    CollectorState, Error, Result, RunState, Timestamp,
    db::{Tx, execute},
    run::lease::{Beat, CollectorEnd, Counts, Failure, Lease},
    run_event,
};

/// Rows gathered before a transaction.
const BATCH: usize = 2000;
/// Rows that may wait to be written: whoever reads more waits.
const WAITING: usize = 2 * BATCH;
/// So many new objects change what PostgreSQL's planner should know of a table.
const ANALYSE_FROM: i64 = 500;
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
    pub(super) position: i64,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    /// A fall of the collection that is held back: objects missing, objects known.
    pub(super) held: Option<(i64, i64)>,
    pub(super) cursor: Option<Cursor>,
    tables: BTreeSet<usize>,
}

/// Where a collection was read to.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    /// Where its changes go on, if Graph says so.
    pub(super) link: Option<String>,
    /// When that was asked for.
    pub(super) at: Timestamp,
    /// Whether it was read as a whole.
    pub(super) full: bool,
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
    /// Objects that each collector ended so far, as its writes found.
    removals: Mutex<BTreeMap<&'static str, Arc<AtomicU64>>>,
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
        if publish::take_mark(&tx, &lease).await? {
            for table in &tables {
                write::discard(&tx, &lease, table).await?;
            }
        }
        // Before the first run ended, and after what an attempt left was taken back, nothing is there.
        let empty = match lease.published() {
            0 => tables.iter().map(|table| table.name).collect(),
            _ => BTreeSet::new(),
        };
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
            removals: Mutex::default(),
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
    ///
    /// # Errors
    /// When something that was read could not be written: the run cannot go on.
    pub async fn keep(&self, lease: Duration) -> Result<Beat> {
        let mut held_at = tokio::time::Instant::now();
        loop {
            let pace = PACE.min(lease / 3);
            let full = tokio::time::timeout(pace, self.full.notified())
                .await
                .is_ok();
            if self.is_over.load(Ordering::Acquire) {
                return Ok(Beat::Held);
            }
            let beat = match full || self.waits() {
                true => self.flush().await.map(|()| Beat::Held),
                false if held_at.elapsed() < RENEW => continue,
                false => self.lease.beat().await,
            };
            match beat {
                Ok(Beat::Held) => held_at = tokio::time::Instant::now(),
                Ok(other) => return Ok(other),
                Err(Error::LeaseLost) => {
                    return Ok(match self.lease.beat().await {
                        Ok(Beat::Cancelled) => Beat::Cancelled,
                        _ => Beat::Lost,
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a run could not write");
                    let is_broken = self.is_broken.load(Ordering::Acquire);
                    if is_broken || held_at.elapsed() > lease * 2 / 3 {
                        return Err(error);
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

    fn sum(&self, name: &'static str) -> Arc<AtomicU64> {
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(removals.entry(name).or_default())
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
        let sum = self.sum(name);
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                let table = O::TABLE;
                removed(
                    &sum,
                    write::remove(tx, lease, table, parent.as_deref(), &ids).await?,
                )
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
        let sum = self.sum(name);
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                removed(&sum, write::remove_of(tx, lease, O::TABLE, &parents).await?)
            })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// After a complete pass, and only then: ends what the pass did not see, but for what belongs
    /// to parents that could not be read.
    pub async fn complete<O: Object>(&self, name: &'static str, spare: Vec<String>) -> Result<()> {
        if self.empty.contains(O::TABLE.name) {
            return Ok(());
        }
        let sum = self.sum(name);
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                write::spare(tx, lease, O::TABLE, &spare).await?;
                removed(&sum, write::remove_unseen(tx, lease, O::TABLE).await?)
            })
        });
        self.push(name, O::TABLE, 1, write).await
    }

    /// The same of those whose `column` has one of these values, each of which was read whole.
    pub async fn complete_by<O: Object>(
        &self,
        name: &'static str,
        column: &'static str,
        values: Vec<String>,
    ) -> Result<()> {
        if values.is_empty() || self.empty.contains(O::TABLE.name) {
            return Ok(());
        }
        let sum = self.sum(name);
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                removed(
                    &sum,
                    write::remove_unseen_by(tx, lease, O::TABLE, column, &values).await?,
                )
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
        let sum = self.sum(name);
        let write: Write = Box::new(move |tx, lease| {
            Box::pin(async move {
                let table = O::TABLE;
                // Most passes end nothing, and then nothing has to be counted.
                let fall = u64::try_from(FALL_LEAST).unwrap_or_default();
                if sum.load(Ordering::Acquire) < fall {
                    return Ok(Effect::default());
                }
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
            publish::set_mark(&tx, &self.lease).await?;
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
        publish::save_progress(tx, &self.lease.run, changed).await?;
        run_event::append_all(tx, &self.lease.run, events).await
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
        self.analyse().await;
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
        let tx = self.lease.begin_audited().await?;
        let (writes, events) = {
            let mut buffer = self.lock();
            (
                std::mem::take(&mut buffer.writes),
                std::mem::take(&mut buffer.events),
            )
        };
        // A run that failed publishes nothing: no cursor may move past what nobody will see, and
        // nothing more is written that the next run would have to take back.
        let is_published = state != RunState::Failed;
        let effects = match is_published {
            true => self.write(&tx, writes).await?,
            false => vec![],
        };
        let changed = self.apply(&effects);
        self.save(&tx, &changed, &events).await?;
        if is_published {
            let all: Vec<Progress> = self.lock().progress.values().cloned().collect();
            publish::save_collections(&tx, &self.lease, &all, self.began).await?;
            publish::publish(&tx, &self.lease).await?;
        }
        self.lease.leave_in(&tx, state, retry_at, failure).await?;
        tx.commit().await
    }

    /// Tells PostgreSQL's planner about tables that grew much, before readers see that: until its own housekeeping comes by, it
    /// takes a company for one row and joins thousands of users with thousands of registrations one
    /// by one (measured: 15 s instead of 20 ms).
    async fn analyse(&self) {
        let db = self.lease.scope().db();
        if db.kind() != "postgres" {
            return;
        }
        let grown: BTreeSet<usize> = {
            let buffer = self.lock();
            let grew = |p: &&Progress| p.counts.new >= ANALYSE_FROM;
            let grown = buffer.progress.values().filter(grew);
            grown.flat_map(|p| p.tables.iter().copied()).collect()
        };
        for table in grown.into_iter().map(|i| TABLES[i].name) {
            // Housekeeping would do it a minute later, so a failure is not worth more than a line.
            if let Err(error) = execute(db.conn(), &format!("ANALYZE {table}"), vec![]).await {
                tracing::debug!(%error, table, "not analysed");
            }
        }
    }
}

fn removed(sum: &AtomicU64, count: u64) -> Result<Effect> {
    sum.fetch_add(count, Ordering::AcqRel);
    let counts = Counts {
        removed: i64::try_from(count).unwrap_or_default(),
        ..Counts::default()
    };
    Ok(Effect { counts, held: None })
}
