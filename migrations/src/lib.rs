//! The schema, one file per table or change, in the SQL that SQLite and PostgreSQL share.
//!
//! `docs/adr/0002-keys-scope-time.md` says why keys are composite, times are milliseconds and rows
//! are marked rather than deleted.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

/// Defines a migration from its statements; `{uuid}` and `{bytes}` stand for the column types that
/// the two databases name differently.
macro_rules! table {
    ($($sql:expr),+ $(,)?) => {
        use sea_orm_migration::prelude::*;

        /// Applies the statements of this file.
        #[derive(Debug)]
        pub(crate) struct Change;

        impl MigrationName for Change {
            fn name(&self) -> &str {
                module_path!().rsplit("::").next().unwrap_or_default()
            }
        }

        #[async_trait::async_trait]
        impl MigrationTrait for Change {
            async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
                crate::execute(manager, &[$($sql),+]).await
            }
        }
    };
}

mod m01_partners;
mod m02_members;
mod m03_sessions;
mod m04_audit;
mod m05_credentials;
mod m06_tenants;
mod m07_consent_requests;
mod m08_companies;
mod m09_mappings;
mod m10_runs;
mod m11_users;
mod m12_groups;
mod m13_domains;
mod m14_secure_scores;
mod m15_credential_secrets;
mod m16_credential_kinds;
mod m17_consent_links;
mod m18_tenant_permissions;
mod m19_connection_tests;
mod m20_subscribed_skus;
mod m21_credential_mail;
mod m22_snapshots;
mod m23_inventory;
mod m24_limits;
mod m25_sign_in;
mod m26_audit_guard;

async fn execute(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let (uuid, bytes) = match manager.get_database_backend() {
        DatabaseBackend::Postgres => ("UUID", "BYTEA"),
        _ => ("BLOB", "BLOB"),
    };
    for sql in statements {
        let sql = sql.replace("{uuid}", uuid).replace("{bytes}", bytes);
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// All migrations in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m01_partners::Change),
            Box::new(m02_members::Change),
            Box::new(m03_sessions::Change),
            Box::new(m04_audit::Change),
            Box::new(m05_credentials::Change),
            Box::new(m06_tenants::Change),
            Box::new(m07_consent_requests::Change),
            Box::new(m08_companies::Change),
            Box::new(m09_mappings::Change),
            Box::new(m10_runs::Change),
            Box::new(m11_users::Change),
            Box::new(m12_groups::Change),
            Box::new(m13_domains::Change),
            Box::new(m14_secure_scores::Change),
            Box::new(m15_credential_secrets::Change),
            Box::new(m16_credential_kinds::Change),
            Box::new(m17_consent_links::Change),
            Box::new(m18_tenant_permissions::Change),
            Box::new(m19_connection_tests::Change),
            Box::new(m20_subscribed_skus::Change),
            Box::new(m21_credential_mail::Change),
            Box::new(m22_snapshots::Change),
            Box::new(m23_inventory::Change),
            Box::new(m24_limits::Change),
            Box::new(m25_sign_in::Change),
            Box::new(m26_audit_guard::Change),
        ]
    }
}
