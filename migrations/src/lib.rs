//! The schema, one file per table or change, in the SQL that SQLite and PostgreSQL share.
//!
//! `docs/adr/0002-keys-scope-time.md` says why keys are composite, times are milliseconds and rows
//! are marked rather than deleted.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};
pub use sea_orm_migration::{MigratorTrait, SchemaManager};

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
mod m27_partner_wall;
mod m28_key_uses;
mod m29_evidence;
mod m30_alerts;
mod m31_channels;
mod m32_reports;
mod m33_required_factor;
mod m34_intakes;
mod m35_idempotency_keys;
mod m36_channel_events;

/// The setting of a transaction that says whose rows it may touch.
pub const SETTING: &str = "tenantry.partner";
/// Its value for what concerns all partners.
pub const EVERYBODY: &str = "all";

/// Tables whose rows belong to one partner: each has `partner_id` (`partners` its own `id`) and, on
/// PostgreSQL, the policy of `m27_partner_wall`. A test compares this list with the schema.
pub const PARTNERS_TABLES: &[&str] = &[
    "partners",
    "partner_keys",
    "memberships",
    "invitations",
    "api_tokens",
    "audit_rows",
    "audit_checkpoints",
    "credentials",
    "credential_secrets",
    "authorisations",
    "connection_tests",
    "tenants",
    "consent_requests",
    "consent_links",
    "companies",
    "mappings",
    "snapshots",
    "collections",
    "runs",
    "run_collectors",
    "run_events",
    "held_forms",
    "idempotency_keys",
    "sign_in_providers",
    "identities",
    "intake_positions",
    "intakes",
    "users",
    "mfa_registrations",
    "groups",
    "group_members",
    "group_owners",
    "domains",
    "subscribed_skus",
    "sign_in_activities",
    "applications",
    "application_owners",
    "application_credentials",
    "service_principals",
    "app_role_assignments",
    "service_principal_activities",
    "devices",
    "managed_devices",
    "directory_roles",
    "role_definitions",
    "role_assignments",
    "role_eligibilities",
    "conditional_access_policies",
    "risky_users",
    "risk_detections",
    "directory_audits",
    "sign_ins",
    "secure_scores",
    "control_scores",
    "control_profiles",
    "evidence",
    "evidence_observations",
    "assessments",
    "assessment_evidence",
    "alerts",
    "channels",
    "deliveries",
    "brands",
    "report_schedules",
    "contact_forms",
];

/// Tables of people and of the installation, with why no partner owns their rows.
pub const COMMON_TABLES: &[(&str, &str)] = &[
    ("members", "a person may be a member of several partners"),
    (
        "sessions",
        "a person's, who may end theirs with every partner; found by an unguessable token",
    ),
    ("passkeys", "a person's"),
    ("totps", "a person's"),
    ("recovery_codes", "a person's"),
    (
        "sign_in_steps",
        "before it is known who signs in; found by an unguessable token",
    ),
    (
        "sign_in_failures",
        "counts by account and address, before it is known who",
    ),
    ("setup_tokens", "before there is a partner"),
    ("signing_keys", "the installation's, sealed"),
    ("limit_slots", "Microsoft's limits are the application's"),
    ("seaql_migrations", "the schema's version"),
];

/// Tables whose rows are written once: the runtime's role may only add to them.
pub const WRITTEN_ONCE: &[&str] = &["audit_rows"];

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
            Box::new(m27_partner_wall::Change),
            Box::new(m28_key_uses::Change),
            Box::new(m29_evidence::Change),
            Box::new(m30_alerts::Change),
            Box::new(m31_channels::Change),
            Box::new(m32_reports::Change),
            Box::new(m33_required_factor::Change),
            Box::new(m34_intakes::Change),
            Box::new(m35_idempotency_keys::Change),
            Box::new(m36_channel_events::Change),
        ]
    }
}
