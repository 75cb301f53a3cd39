//! The connection. Nothing outside this crate sees it, but for the pools that apalis needs.

#![allow(clippy::disallowed_types)] // the one place that holds the connection

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use migrations::{Migrator, MigratorTrait};
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    QueryResult, SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, Statement,
    TransactionOptions, TransactionTrait, Value,
};
use sqlx::{
    PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Clock, Error, Result};

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
}

/// An open write transaction. Dropped without [`Tx::commit`], it rolls back.
pub(crate) struct Tx {
    pub(crate) conn: DatabaseTransaction,
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.conn.commit().await?)
    }
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
            let options = PgConnectOptions::from_str(url)
                .map_err(|e| Error::field("DATABASE_URL", e.to_string()))?
                .application_name("tenantry")
                .statement_cache_capacity(256);
            let pool = PgPoolOptions::new()
                .max_connections(8)
                .acquire_timeout(Duration::from_secs(20))
                .connect_with(options)
                .await
                .map_err(connect_failed)?;
            let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());
            Ok(Self {
                writer: connection.clone(),
                connection,
                pool: Pool::Postgres(pool),
                clock,
            })
        } else {
            Err(Error::field(
                "DATABASE_URL",
                "it must start with sqlite: or postgres:",
            ))
        }
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
        })
    }

    /// Brings the schema up to date; several processes may call it at once.
    pub async fn migrate(&self) -> Result<()> {
        match &self.pool {
            Pool::Sqlite(_) => Migrator::up(&self.connection, None).await?,
            Pool::Postgres(pool) => {
                // The migrator takes no lock of its own.
                let mut lock = pool.acquire().await.map_err(connect_failed)?;
                sqlx::query("SELECT pg_advisory_lock(7361)")
                    .execute(&mut *lock)
                    .await
                    .map_err(connect_failed)?;
                let done = Migrator::up(&self.connection, None).await;
                sqlx::query("SELECT pg_advisory_unlock(7361)")
                    .execute(&mut *lock)
                    .await
                    .map_err(connect_failed)?;
                done?;
            }
        }
        crate::company::refresh_name_keys(self).await
    }

    /// Number of migrations not yet applied.
    pub async fn pending_migrations(&self) -> Result<usize> {
        Ok(Migrator::get_pending_migrations(&self.connection)
            .await?
            .len())
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
                Pool::Postgres(pool) => rewrite(pool).await.is_ok(),
            };
            if done {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        tracing::warn!("the database still holds old pages of a deleted secret; it will drop them");
    }

    pub(crate) fn conn(&self) -> &DatabaseConnection {
        &self.connection
    }

    /// Where a write of one statement goes.
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a write: immediate on SQLite, so that a read before the write cannot go stale.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let conn = self
            .writer
            .begin_with_options(TransactionOptions {
                isolation_level: None,
                access_mode: None::<AccessMode>,
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            })
            .await?;
        Ok(Tx { conn })
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

/// A statement with `$1`-style parameters. SQLite knows them as well, but by name, and both it and
/// its driver look names up one after another: with 20,000 parameters that is quadratic (measured:
/// 0.9 s a page of users instead of 30 ms). So there each becomes a bare `?` in the order of the
/// text, and a value that is used several times is bound several times.
fn statement(conn: &impl ConnectionTrait, sql: &str, mut values: Vec<Value>) -> Statement {
    let backend = conn.get_database_backend();
    if backend != DatabaseBackend::Sqlite {
        return Statement::from_sql_and_values(backend, sql, values);
    }
    let mut parts = sql.split('$');
    let mut text = String::with_capacity(sql.len());
    text.push_str(parts.next().unwrap_or_default());
    let mut order = Vec::with_capacity(values.len());
    let mut uses = vec![0_u32; values.len()];
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or_default();
        let index = number.wrapping_sub(1);
        if let Some(count) = uses.get_mut(index) {
            *count += 1;
            order.push(index);
        }
        text.push('?');
        text.push_str(&part[digits..]);
    }
    // Most values are used once: what is moved need not be copied.
    let bound: Vec<Value> = order
        .into_iter()
        .map(|index| {
            uses[index] -= 1;
            match uses[index] {
                0 => std::mem::replace(&mut values[index], Value::Bool(None)),
                _ => values[index].clone(),
            }
        })
        .collect();
    Statement::from_sql_and_values(backend, text, bound)
}

/// `$from, $from+1, …`, so many.
pub(crate) fn placeholders(from: usize, count: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(count * 7);
    for i in 0..count {
        if i > 0 {
            text.push(',');
        }
        let _ = write!(text, "${}", from + i);
    }
    text
}

/// `($1, $2), ($3, $4), …`: so many rows of so many parameters.
pub(crate) fn rows(count: usize, of: usize) -> String {
    let rows: Vec<String> = (0..count)
        .map(|row| format!("({})", placeholders(1 + row * of, of)))
        .collect();
    rows.join(", ")
}

/// Runs SQL with `$1`-style parameters; answers the number of rows affected.
pub(crate) async fn execute(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64, DbErr> {
    let done = conn.execute_raw(statement(conn, sql, values)).await?;
    Ok(done.rows_affected())
}

pub(crate) async fn query_all(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    conn.query_all_raw(statement(conn, sql, values)).await
}

pub(crate) async fn query_one(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>, DbErr> {
    conn.query_one_raw(statement(conn, sql, values)).await
}

/// Rewrites the tables in which secrets are or were, without waiting for a lock for long: whoever
/// holds it must not keep everybody else from the secrets in use.
async fn rewrite(pool: &PgPool) -> std::result::Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    sqlx::query("SET lock_timeout = '200ms'")
        .execute(&mut *connection)
        .await?;
    let mut done = Ok(());
    for table in ["credential_secrets", "credentials"] {
        let sql = format!("VACUUM FULL {table}");
        let one = sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await;
        done = done.and(one.map(|_| ()));
    }
    sqlx::query("RESET lock_timeout")
        .execute(&mut *connection)
        .await?;
    done
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
