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

use super::{Collection, TABLES, Table, publish, write};
use crate::{
    Error, Result, RunState, Timestamp,
    db::Tx,
    run::lease::{Beat, Counts, Failure, Lease},
    run_event,
};

mod collected;
mod progress;

pub use progress::Progress;

/// Rows gathered before a transaction.
const BATCH: usize = 4000;
/// Rows that may wait to be written: whoever reads more waits.
const WAITING: usize = 2 * BATCH;
/// So many new objects change what PostgreSQL's planner should know of a table.
const ANALYSE_FROM: i64 = 500;
/// Progress is written at least so often while something is read.
const PACE: Duration = Duration::from_millis(500);
/// The lease is renewed so often when nothing is written; cancelling is noticed within it.
const RENEW: Duration = Duration::from_millis(900);

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
        let collections = super::collections(lease.scope(), lease.mapping_id()).await?;
        Ok(Self {
            lease,
            buffer: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            places: Semaphore::new(WAITING),
            full: Notify::new(),
            is_over: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
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

    /// Writes the rest, and answers how the collectors ended.
    pub async fn settle_collectors(&self) -> Result<Vec<Progress>> {
        self.flush().await?;
        self.analyse().await;
        self.judge();
        Ok(self.lock().progress.values().cloned().collect())
    }

    /// Ends the attempt in one transaction: what was read appears, cursors move, the run settles, or
    /// is tried again at `retry_at`. Rows that wait are written before it: it holds the partner's
    /// audit chain, for which all other runs of the partner wait.
    pub async fn finish(
        &self,
        state: RunState,
        retry_at: Option<Timestamp>,
        failure: Option<&Failure>,
    ) -> Result<()> {
        // A run that failed publishes nothing: no cursor may move past what nobody will see, and
        // nothing more is written that the next run would have to take back.
        let is_published = state != RunState::Failed;
        if !is_published {
            self.lock().writes.clear();
        }
        self.flush().await?;
        let _turn = self.turn.lock().await;
        if self.is_broken.load(Ordering::Acquire) {
            return Err(Error::Stored(
                "what was read could not be written, so it is read again".into(),
            ));
        }
        let tx = self.lease.begin_audited().await?;
        let all: Vec<Progress> = self.lock().progress.values().cloned().collect();
        if is_published {
            publish::save_collections(&tx, &self.lease, &all).await?;
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
            db.analyse(table).await;
        }
    }
}
