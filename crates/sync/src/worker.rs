//! The only file that names apalis: it carries run ids from whoever dispatched to a worker.
//!
//! What apalis 1.0 does that we work around (measured, docs/adr/0003-runs.md): tasks in its buffer
//! send no heartbeat (batch size 1); a worker name used again is refused (a fresh name each start);
//! its retries, panics and leases are not ours (the handler records everything in `runs` and always
//! answers `Ok`); its set-up turns `synchronous` off (only its migrations are run).

#![allow(clippy::disallowed_methods)] // the pool is the queue's

use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{BoxDynError, Data, Monitor, TaskBuilder, TaskId, WorkerBuilder};
use apalis_core::backend::ext::BackendExt;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use model::{Db, PartnerId, Pool, RunId, run::Due};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use ulid::Ulid;
use url::Url;
use uuid::Uuid;

use crate::{Elsewhere, Kick, Runner, Sender, scheduler};

const QUEUE: &str = "runs";

/// What the queue carries: ids alone. Everything else is read from the run when it is claimed.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Task {
    partner: Uuid,
    run: Uuid,
}

/// Makes or upgrades the queue's own tables. Where they are as they should be, it reads alone: the role
/// that a server runs as may make no tables.
pub async fn prepare_queue(db: &Db) -> anyhow::Result<()> {
    match db.owner_pool() {
        Pool::Sqlite(pool) => SqliteStorage::<()>::migrations().run(&pool).await?,
        Pool::Postgres(pool) => {
            if is_queue_behind(&pool).await? {
                PostgresStorage::<()>::setup(&pool).await?;
            }
        }
    }
    Ok(db.grant().await?)
}

async fn is_queue_behind(pool: &PgPool) -> anyhow::Result<bool> {
    let migrations = PostgresStorage::<()>::migrations();
    let table = migrations.table_name.as_ref();
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(pool)
        .await?;
    if !is_there {
        return Ok(true);
    }
    let done = AssertSqlSafe(format!("SELECT version FROM {table} WHERE success"));
    let done: Vec<i64> = sqlx::query_scalar(done).fetch_all(pool).await?;
    Ok(migrations.iter().any(|one| !done.contains(&one.version)))
}

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pool: Pool,
    kick: Kick,
}

impl Queue {
    /// Hands runs over, all or none.
    pub(crate) async fn push(&self, all: &[Due]) -> anyhow::Result<()> {
        let mut tasks = Vec::with_capacity(all.len());
        for due in all {
            let task = Task {
                partner: due.partner.0,
                run: due.run.0,
            };
            tasks.push(
                TaskBuilder::new(serde_json::to_vec(&task)?)
                    .task_id(TaskId::from_ulid(Ulid::generate()))
                    .max_attempts(1)
                    // At once: the queue compares this with the database's clock, and ours may be wrong.
                    .run_at_timestamp(1)
                    .priority(usize::try_from(due.priority).unwrap_or_default())
                    .build(),
            );
        }
        match &self.pool {
            Pool::Sqlite(pool) => {
                let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                apalis_sqlite::queries::push_tasks(&mut *tx, QUEUE, &tasks).await?;
                tx.commit().await?;
            }
            Pool::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                apalis_postgres::queries::push_tasks(&mut *tx, QUEUE, tasks).await?;
                tx.commit().await?;
            }
        }
        self.kick.kick();
        Ok(())
    }

    /// Removes tasks that were handled and workers that are gone: nobody reads them again.
    pub(crate) async fn prune(&self) -> anyhow::Result<()> {
        match &self.pool {
            Pool::Sqlite(pool) => {
                sqlx::query(
                    "DELETE FROM Jobs WHERE job_type = ? AND status IN ('Done', 'Killed', 'Failed')
                        AND done_at < strftime('%s', 'now') - 3600",
                )
                .bind(QUEUE)
                .execute(pool)
                .await?;
            }
            Pool::Postgres(pool) => {
                sqlx::query(
                    "DELETE FROM apalis.jobs WHERE job_type = $1
                        AND status IN ('Done', 'Killed', 'Failed')
                        AND done_at < now() - interval '1 hour'",
                )
                .bind(QUEUE)
                .execute(pool)
                .await?;
            }
        }
        Ok(())
    }
}

async fn handle(task: Task, runner: Data<Runner>, name: Data<String>) -> Result<(), BoxDynError> {
    // A task of its own: apalis drops its handlers when its connection breaks, and a run outlives
    // that.
    let run = task.run;
    let working = tokio::spawn(async move {
        runner
            .run(PartnerId(task.partner), RunId(task.run), &name)
            .await
    });
    match working.await {
        Ok(Ok(())) => {}
        // The run is still in its table; the sweep brings it back.
        Ok(Err(error)) => tracing::warn!(%run, %error, "a run could not be worked on"),
        Err(error) => tracing::error!(%run, %error, "a run's task ended by itself"),
    }
    Ok(())
}

/// Scheduler and worker of one process.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Works on runs.
    pub runner: Runner,
    /// Where checkpoints of the audit logs are taken, and what may be reached.
    pub elsewhere: Elsewhere,
    /// Root of this installation as browsers see it: links in messages lead there.
    pub public_url: Url,
}

impl Worker {
    /// Works until shutdown; runs in flight have ten seconds to end, after that their lease runs out
    /// and another start continues them.
    pub async fn run(self, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
        let db = self.runner.db.clone();
        let settings = self.runner.settings;
        let kick = Kick::default();
        let queue = Queue {
            pool: db.pool().clone(),
            kick: kick.clone(),
        };
        let ticking = tokio::spawn(scheduler::run(
            db.clone(),
            Sender {
                consent: self.runner.consent.clone(),
                outbound: self.elsewhere.outbound.clone(),
                public_url: self.public_url,
            },
            self.elsewhere,
            queue,
            settings.tick,
            shutdown.clone(),
        ));
        let mut stop = shutdown;
        let stopped = async move {
            while !*stop.borrow() {
                if stop.changed().await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let heartbeat = Duration::from_secs(10);
        let monitor = Monitor::new()
            .should_restart(|_, error| {
                tracing::warn!(%error, "the queue's worker stopped; starting it again");
                true
            })
            .shutdown_timeout(Duration::from_secs(10));
        let runner = self.runner;
        let monitor = match db.pool().clone() {
            Pool::Sqlite(pool) => monitor.register(move |_| {
                let name = worker_name();
                WorkerBuilder::new(name.clone())
                    .backend(
                        SqliteStorage::<Task>::new(&pool)
                            .with_config(
                                apalis_sqlite::Config::default()
                                    .queue(QUEUE)
                                    .batch_size(1)
                                    .heartbeat_interval(heartbeat)
                                    .missed_heartbeats(3),
                            )
                            .poll_with_strategy(kick.strategy(settings.tick)),
                    )
                    .data(runner.clone())
                    .data(name)
                    .concurrency(settings.concurrency)
                    .build(handle)
            }),
            Pool::Postgres(pool) => monitor.register(move |_| {
                let name = worker_name();
                WorkerBuilder::new(name.clone())
                    .backend(
                        PostgresStorage::<Task>::new(&pool)
                            .with_config(
                                apalis_postgres::Config::default()
                                    .queue(QUEUE)
                                    .batch_size(1)
                                    .heartbeat_interval(heartbeat)
                                    .missed_heartbeats(3),
                            )
                            .with_pubsub()
                            .poll_with_strategy(kick.strategy(settings.tick)),
                    )
                    .data(runner.clone())
                    .data(name)
                    .concurrency(settings.concurrency)
                    .build(handle)
            }),
        };
        monitor.run_with_signal(stopped).await?;
        ticking.await?;
        Ok(())
    }
}

fn worker_name() -> String {
    format!("runs-{}-{}", std::process::id(), Ulid::generate())
}
