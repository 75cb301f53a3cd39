//! Connections that are bound to whose rows they may touch. PostgreSQL holds every statement to it by
//! row-level security; builds for tests check each statement's own conditions too, on both databases.

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseBackend, DatabaseConnection, DatabaseTransaction, DbErr,
    ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};

use crate::{PartnerId, Result};

/// Whose rows a statement may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// No partner's: tables that belong to people or to the installation.
    Nobody,
    /// One partner's.
    Partner(PartnerId),
    /// Every partner's: to find whose a token is, and to plan. `docs/security.md` lists who does.
    Everybody,
}

impl Reach {
    /// The value of the setting that the policies compare with.
    fn setting(self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Partner(partner) => partner.to_string(),
            Self::Everybody => migrations::EVERYBODY.to_owned(),
        }
    }

    /// Binds what is left of a transaction.
    async fn bind(self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        if self == Self::Nobody || tx.get_database_backend() != DatabaseBackend::Postgres {
            return Ok(());
        }
        let sql = "SELECT set_config($1, $2, true)";
        let values = [migrations::SETTING.into(), self.setting().into()];
        let statement = Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, values);
        tx.query_one_raw(statement).await.map(|_| ())
    }
}

fn checked(statement: Statement, reach: Reach) -> Result<Statement, DbErr> {
    #[cfg(debug_assertions)]
    super::watch::check(&statement, reach)
        .inspect_err(|why| tracing::error!(why, "a statement does not say whose rows it means"))
        .map_err(DbErr::Custom)?;
    #[cfg(not(debug_assertions))]
    let _ = reach;
    Ok(statement)
}

/// A pool, bound: each statement is a transaction of its own.
#[derive(Debug, Clone)]
pub(crate) struct Conn {
    pub(super) pool: DatabaseConnection,
    pub(super) reach: Reach,
}

impl Conn {
    /// Whether a statement needs no transaction around it.
    fn is_direct(&self) -> bool {
        self.reach == Reach::Nobody || self.get_database_backend() != DatabaseBackend::Postgres
    }

    async fn open(&self) -> Result<DatabaseTransaction, DbErr> {
        let tx = self.pool.begin().await?;
        self.reach.bind(&tx).await?;
        Ok(tx)
    }

    /// Begins a write: immediate on SQLite, so that a read before the write cannot go stale.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        let options = TransactionOptions {
            isolation_level: None,
            access_mode: None::<AccessMode>,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        let inner = self.pool.begin_with_options(options).await?;
        self.reach.bind(&inner).await?;
        let reach = self.reach;
        Ok(Tx {
            conn: TxConn { inner, reach },
        })
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Conn {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let statement = checked(statement, self.reach)?;
        if self.is_direct() {
            return self.pool.execute_raw(statement).await;
        }
        let tx = self.open().await?;
        let done = tx.execute_raw(statement).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_string(self.get_database_backend(), sql);
        self.execute_raw(statement).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let statement = checked(statement, self.reach)?;
        if self.is_direct() {
            return self.pool.query_one_raw(statement).await;
        }
        let tx = self.open().await?;
        let row = tx.query_one_raw(statement).await?;
        tx.commit().await?;
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let statement = checked(statement, self.reach)?;
        if self.is_direct() {
            return self.pool.query_all_raw(statement).await;
        }
        let tx = self.open().await?;
        let rows = tx.query_all_raw(statement).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

/// An open write transaction. Dropped without [`Tx::commit`], it rolls back.
pub(crate) struct Tx {
    pub(crate) conn: TxConn,
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.conn.inner.commit().await?)
    }
}

/// What a transaction's statements go through.
pub(crate) struct TxConn {
    inner: DatabaseTransaction,
    reach: Reach,
}

#[async_trait::async_trait]
impl ConnectionTrait for TxConn {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.inner
            .execute_raw(checked(statement, self.reach)?)
            .await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = Statement::from_string(self.get_database_backend(), sql);
        self.execute_raw(statement).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner
            .query_one_raw(checked(statement, self.reach)?)
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.inner
            .query_all_raw(checked(statement, self.reach)?)
            .await
    }
}
