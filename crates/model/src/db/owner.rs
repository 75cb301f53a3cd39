//! PostgreSQL: what the tables' owner does and the runtime's role does not. The schema, the runtime's
//! grants, and housekeeping that only an owner may do.

use std::{str::FromStr, sync::Arc, time::Duration};

use migrations::{Migrator, MigratorTrait, PARTNERS_TABLES, WRITTEN_ONCE};
use sea_orm::{DbErr, RuntimeErr, SqlxPostgresConnector};
use sqlx::{
    AssertSqlSafe, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use super::connect_failed;
use crate::{Error, Result};

/// Where a role logs in.
pub(super) fn options(url: &str, field: &'static str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|e| Error::field(field, e.to_string()))?
        .application_name("tenantry")
        .statement_cache_capacity(256);
    // What leaves the machine is encrypted, for a server that has a certificate of its name, unless the
    // address says otherwise itself. The driver's own default would fall back to plain text.
    let is_near = options.get_socket().is_some()
        || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&options.get_host())
        || options.get_host().starts_with('/');
    let says_itself = url.contains("sslmode=") || url.contains("ssl-mode=");
    Ok(match is_near || says_itself {
        true => options,
        false => options.ssl_mode(PgSslMode::VerifyFull),
    })
}

/// A pool of the owner's, opened when it is used and closed soon after. It sees every partner's rows:
/// migrations change them all.
pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(3)
        .min_connections(0)
        .idle_timeout(Duration::from_secs(20))
        .acquire_timeout(Duration::from_secs(20))
        .connect_lazy_with(options.options([(migrations::SETTING, migrations::EVERYBODY)]))
}

/// Refuses a role that row-level security does not hold.
pub(super) async fn refuse_unwalled(pool: &PgPool) -> Result<()> {
    let row = sqlx::query(
        "SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(pool)
    .await
    .map_err(connect_failed)?;
    let (role, is_unwalled): (String, bool) = (row.get(0), row.get(1));
    match is_unwalled {
        false => Ok(()),
        true => Err(Error::field(
            "DATABASE_URL",
            format!(
                "the role {role} is a superuser or has BYPASSRLS, so the database would not keep \
                 partners apart. Make a role for the server (CREATE ROLE tenantry_app LOGIN PASSWORD \
                 '…';), name it here, and name the one that owns the tables in \
                 TENANTRY_DATABASE_OWNER_URL"
            ),
        )),
    }
}

/// Brings the schema up to date.
pub(super) async fn migrate(owner: &PgPool) -> Result<()> {
    // The migrator takes no lock of its own.
    let mut lock = owner.acquire().await.map_err(connect_failed)?;
    sqlx::query("SELECT pg_advisory_lock(7361)")
        .execute(&mut *lock)
        .await
        .map_err(connect_failed)?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(owner.clone());
    let done = Migrator::up(&connection, None).await.map_err(|error| {
        // SQLSTATE 42501: insufficient_privilege.
        let is_refused = match &error {
            DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => error
                .as_database_error()
                .is_some_and(|e| e.code().as_deref() == Some("42501")),
            _ => false,
        };
        match is_refused {
            false => Error::from(error),
            true => Error::field(
                "DATABASE_URL",
                "the schema must change, and this role does not own the tables. Name the role that \
                 does in TENANTRY_DATABASE_OWNER_URL, or run `tenantry migrate` with it elsewhere",
            ),
        }
    });
    sqlx::query("SELECT pg_advisory_unlock(7361)")
        .execute(&mut *lock)
        .await
        .map_err(connect_failed)?;
    done
}

/// Reading and changing rows; of what is written once, adding alone; of the schema, nothing.
pub(super) async fn grant(owner: &PgPool, runtime: &PgPool) -> Result<()> {
    let name = "SELECT current_user::text";
    let one = |pool: PgPool| async move {
        sqlx::query_scalar::<_, String>(name)
            .fetch_one(&pool)
            .await
            .map_err(connect_failed)
    };
    let (owner_role, role) = (one(owner.clone()).await?, one(runtime.clone()).await?);
    if owner_role == role {
        return Ok(());
    }
    let role = format!("\"{}\"", role.replace('"', "\"\""));
    let mut statements = vec![
        format!("GRANT USAGE ON SCHEMA public TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
        format!("REVOKE INSERT, UPDATE, DELETE ON seaql_migrations FROM {role}"),
    ];
    for table in WRITTEN_ONCE {
        statements.push(format!(
            "REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}"
        ));
    }
    for schema in queue_schemas(owner).await? {
        statements.push(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"));
        statements.push(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
        ));
        statements.push(format!(
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
        ));
    }
    for sql in statements {
        sqlx::query(AssertSqlSafe(sql))
            .execute(owner)
            .await
            .map_err(|error| {
                Error::Database(DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error))))
            })?;
    }
    Ok(())
}

/// The job queue's schema, where it was made already.
async fn queue_schemas(owner: &PgPool) -> Result<Vec<String>> {
    sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname = 'apalis'")
        .fetch_all(owner)
        .await
        .map_err(connect_failed)
}

/// Tells the planner about a table that grew. PostgreSQL's own housekeeping would do it a minute
/// later, so a failure is not worth more than a line.
pub(super) async fn analyse(owner: &PgPool, table: &'static str) {
    debug_assert!(PARTNERS_TABLES.contains(&table));
    let sql = format!("ANALYZE {table}");
    if let Err(error) = sqlx::query(AssertSqlSafe(sql)).execute(owner).await {
        tracing::debug!(table, %error, "a table was not analysed");
    }
}

/// Rewrites the tables in which secrets are or were, without waiting for a lock for long: whoever
/// holds it must not keep everybody else from the secrets in use.
pub(super) async fn rewrite(owner: &PgPool) -> std::result::Result<(), sqlx::Error> {
    let mut connection = owner.acquire().await?;
    sqlx::query("SET lock_timeout = '200ms'")
        .execute(&mut *connection)
        .await?;
    let mut done = Ok(());
    for table in ["credential_secrets", "credentials", "partner_keys"] {
        let sql = format!("VACUUM FULL {table}");
        let one = sqlx::query(AssertSqlSafe(sql))
            .execute(&mut *connection)
            .await;
        done = done.and(one.map(|_| ()));
    }
    sqlx::query("RESET lock_timeout")
        .execute(&mut *connection)
        .await?;
    done
}
