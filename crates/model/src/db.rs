//! The connection. Nothing outside this crate sees it, but for the pools that apalis needs.

#![allow(clippy::disallowed_types)] // the one place that holds the connection

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use migrations::{Migrator, MigratorTrait, SchemaManager};
use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Clock, Error, PartnerId, Result};

mod bound;
mod owner;
mod sql;
#[cfg(debug_assertions)]
mod watch;

pub(crate) use bound::{Conn, Reach, Tx};
pub(crate) use sql::{execute, placeholders, query_all, query_one, rows};

/// Page cache of the connection that writes on SQLite, KiB: a sync's batches go all over the indexes
/// of a large tenant.
const WRITER_CACHE: i32 = 16_000;
/// Page cache of each that reads, KiB.
const READER_CACHE: i32 = 2_000;

/// The sqlx pool under the connection, for the job queue alone.
#[derive(Debug, Clone)]
pub enum Pool {
    /// Embedded.
    Sqlite(SqlitePool),
    /// Scale-out.
    Postgres(PgPool),
}

/// A database and the clock that goes with it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    connection: DatabaseConnection,
    pool: Pool,
    clock: Clock,
    /// SQLite has one writer, so all writes take turns on one connection of their own: queueing for
    /// it is fair, SQLite's busy handler is not; and its cache stays warm, where a connection that
    /// finds another one's commit throws its cache away.
    writer: DatabaseConnection,
    /// PostgreSQL: the role that owns the tables, which need not be the one that the server runs as.
    owner: Option<PgPool>,
}

impl Db {
    /// Opens `sqlite:PATH` (made with mode 0600 when missing) or `postgres://…`.
    ///
    /// # Errors
    /// When the URL is of another kind or the database cannot be reached.
    pub async fn connect(url: &str, clock: Clock) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            Self::connect_sqlite(path.trim_start_matches("//"), clock).await
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::connect_postgres(url, url, clock).await
        } else {
            Err(Error::field(
                "DATABASE_URL",
                "it must start with sqlite: or postgres:",
            ))
        }
    }

    /// The same, where another role owns the tables of a PostgreSQL database: it changes the schema
    /// and keeps house, and the server's own role reads and writes rows alone.
    ///
    /// # Errors
    /// As [`Db::connect`], and when row-level security would not hold the server's role.
    pub async fn connect_owned(url: &str, owner: &str, clock: Clock) -> Result<Self> {
        Self::connect_postgres(url, owner, clock).await
    }

    async fn connect_postgres(url: &str, owner: &str, clock: Clock) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(20))
            .connect_with(owner::options(url, "DATABASE_URL")?)
            .await
            .map_err(connect_failed)?;
        owner::refuse_unwalled(&pool).await?;
        let owner = owner::options(owner, "TENANTRY_DATABASE_OWNER_URL")?;
        let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
        Ok(Self {
            writer: connection.clone(),
            connection,
            pool: Pool::Postgres(pool),
            clock,
            owner: Some(owner::pool(owner)),
        })
    }

    async fn connect_sqlite(path: &str, clock: Clock) -> Result<Self> {
        private_file(Path::new(path))
            .map_err(|e| Error::field("data-dir", format!("{path}: {e}")))?;
        // FULL and secure_delete: an acknowledged write survives power loss, and a cleared secret
        // leaves no copy in free pages (docs/adr/0004-sqlite-settings.md).
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(20))
            .foreign_keys(true)
            .pragma("secure_delete", "ON")
            // A large sync touches the same pages of an index in every batch: moved less often, they
            // are moved fewer times.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("temp_store", "MEMORY")
            .statement_cache_capacity(256);
        let open = |connections, kibibytes: i32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(60))
                .connect_with(
                    options
                        .clone()
                        .pragma("cache_size", format!("-{kibibytes}")),
                )
        };
        let writer = open(1, WRITER_CACHE).await.map_err(connect_failed)?;
        let pool = open(6, READER_CACHE).await.map_err(connect_failed)?;
        Ok(Self {
            connection: SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone()),
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            pool: Pool::Sqlite(pool),
            clock,
            owner: None,
        })
    }

    /// Brings the schema up to date; several processes may call it at once. Where nothing is pending,
    /// nothing is asked of the role but to read, so a server can go without the owner's password.
    pub async fn migrate(&self) -> Result<()> {
        if self.pending_migrations().await? > 0 {
            match &self.owner {
                Some(owner) => owner::migrate(owner).await?,
                None => Migrator::up(&self.connection, None).await?,
            }
        }
        self.grant().await?;
        crate::company::refresh_name_keys(self).await
    }

    /// Number of migrations not yet applied.
    pub async fn pending_migrations(&self) -> Result<usize> {
        let known = Migrator::migrations();
        let table = "seaql_migrations";
        // The migrator's own answer would make its table first.
        if !SchemaManager::new(&self.connection)
            .has_table(table)
            .await?
        {
            return Ok(known.len());
        }
        let sql = "SELECT version FROM seaql_migrations";
        let mut applied = HashSet::new();
        for row in query_all(&self.conn(), sql, vec![]).await? {
            applied.insert(row.try_get::<String>("", "version")?);
        }
        let pending = known.iter().filter(|one| !applied.contains(one.name()));
        Ok(pending.count())
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The same database as a machine sees it that has another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Clock) -> Self {
        Self {
            clock,
            ..self.clone()
        }
    }

    /// The pool under it, for the job queue.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The pool of the role that owns the tables, for the job queue's own tables.
    pub fn owner_pool(&self) -> Pool {
        match &self.owner {
            Some(owner) => Pool::Postgres(owner.clone()),
            None => self.pool.clone(),
        }
    }

    /// Gives the server's role what it needs of tables that were made beside the schema's.
    pub async fn grant(&self) -> Result<()> {
        match (&self.pool, &self.owner) {
            (Pool::Postgres(pool), Some(owner)) => owner::grant(owner, pool).await,
            _ => Ok(()),
        }
    }

    /// Tells PostgreSQL's planner about a table that grew.
    pub(crate) async fn analyse(&self, table: &'static str) {
        if let Some(owner) = &self.owner {
            owner::analyse(owner, table).await;
        }
    }

    /// `sqlite` or `postgres`.
    pub fn kind(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgres",
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.connection.ping().await?)
    }

    /// Closes all connections; what is committed stays.
    pub async fn close(&self) {
        // On PostgreSQL both are the same pool, which may be closed twice.
        if let Err(error) = self.writer.close_by_ref().await {
            tracing::warn!(%error, "the database's writer could not be closed");
        }
        if let Some(owner) = &self.owner {
            owner.close().await;
        }
        match &self.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// After something secret was deleted: leaves no copy of it in the write-ahead log, nor
    /// (PostgreSQL) in the table's dead rows. Tried for some seconds; readers may hold it up, and
    /// then the database's own housekeeping comes later.
    pub(crate) async fn scrub(&self) {
        for _ in 0..20 {
            let done = match &self.pool {
                // Row: busy, frames in the log, frames moved. Readers of old frames make it busy.
                Pool::Sqlite(pool) => {
                    sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)")
                        .fetch_one(pool)
                        .await
                        .is_ok_and(|(busy, ..)| busy == 0)
                }
                Pool::Postgres(pool) => {
                    let owner = self.owner.as_ref().unwrap_or(pool);
                    owner::rewrite(owner).await.is_ok()
                }
            };
            if done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        tracing::warn!("the database still holds old pages of a deleted secret; it will drop them");
    }

    fn bound(&self, pool: &DatabaseConnection, reach: Reach) -> Conn {
        let pool = pool.clone();
        Conn { pool, reach }
    }

    /// Reads of tables that belong to people or to the installation, and to no partner.
    pub(crate) fn conn(&self) -> Conn {
        self.bound(&self.connection, Reach::Nobody)
    }

    /// Where a write of one statement on such tables goes.
    pub(crate) fn writer(&self) -> Conn {
        self.bound(&self.writer, Reach::Nobody)
    }

    /// Begins a write of such tables.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.writer().begin().await
    }

    /// Reads of one partner's rows.
    pub(crate) fn conn_of(&self, partner: PartnerId) -> Conn {
        self.bound(&self.connection, Reach::Partner(partner))
    }

    /// Where a write of one statement on a partner's rows goes.
    pub(crate) fn writer_of(&self, partner: PartnerId) -> Conn {
        self.bound(&self.writer, Reach::Partner(partner))
    }

    /// Begins a write of a partner's rows. Most want [`Scope::begin`](crate::Scope), which takes the
    /// partner's turn too.
    pub(crate) async fn begin_of(&self, partner: PartnerId) -> Result<Tx> {
        self.writer_of(partner).begin().await
    }

    /// Reads over all partners: to find whose a token is, and to plan. Every use stands in the list
    /// of `docs/security.md`.
    pub(crate) fn everybody(&self) -> Conn {
        self.bound(&self.connection, Reach::Everybody)
    }

    /// The same for a write of one statement.
    pub(crate) fn everybody_writer(&self) -> Conn {
        self.bound(&self.writer, Reach::Everybody)
    }

    /// SQL for the database's own clock in milliseconds, moved by the clock's offset: leases of
    /// several machines are compared on this one clock.
    pub(crate) fn now_sql(&self) -> String {
        let offset = self.clock.offset_ms();
        match self.pool {
            Pool::Sqlite(_) => {
                format!("(CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) + {offset})")
            }
            Pool::Postgres(_) => {
                format!("(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + {offset})")
            }
        }
    }
}

fn connect_failed(error: sqlx::Error) -> Error {
    Error::Database(DbErr::Conn(sea_orm::RuntimeErr::SqlxError(Arc::new(error))))
}

/// Makes the file with mode 0600 before SQLite would make it with the umask's.
fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(|_| ()),
    }
}
