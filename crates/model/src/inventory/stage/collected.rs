//! What collectors hand over to be written: pages, removals, the end of a pass.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{BATCH, Effect, Stage, WAITING, Write};
use crate::{
    Error, Result,
    inventory::{
        Object, TABLES, Table,
        collection::{FALL_LEAST, FALL_PERCENT},
        known, write,
    },
    run::lease::Counts,
};

impl Stage {
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
                let known = known::present(&tx.conn, lease, table).await?;
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
        known::present(
            &db.conn_of(self.lease.run.partner_id),
            &self.lease,
            O::TABLE,
        )
        .await
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
}

fn removed(sum: &AtomicU64, count: u64) -> Result<Effect> {
    sum.fetch_add(count, Ordering::AcqRel);
    let counts = Counts {
        removed: i64::try_from(count).unwrap_or_default(),
        ..Counts::default()
    };
    Ok(Effect { counts, held: None })
}
