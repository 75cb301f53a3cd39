//! Intakes: where events of what was synced are sent, and how far each has come.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m34_intakes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                // The token is sealed; an intake that was removed has none.
                "CREATE TABLE intakes (
                    partner_id {uuid} NOT NULL REFERENCES partners (id),
                    id {uuid} NOT NULL,
                    name TEXT NOT NULL,
                    url TEXT NOT NULL,
                    scheme TEXT NOT NULL,
                    key_version BIGINT NOT NULL,
                    wrapped {bytes} NOT NULL,
                    sealed {bytes} NOT NULL,
                    classes TEXT NOT NULL,
                    schema_version TEXT NOT NULL,
                    form TEXT NOT NULL,
                    companies TEXT,
                    is_on BOOLEAN NOT NULL,
                    batch BIGINT NOT NULL,
                    fence BIGINT NOT NULL,
                    lease_until BIGINT NOT NULL,
                    not_before BIGINT NOT NULL,
                    failures BIGINT NOT NULL,
                    events BIGINT NOT NULL,
                    created_at BIGINT NOT NULL,
                    removed_at BIGINT,
                    last_sent_at BIGINT,
                    last_error_at BIGINT,
                    last_error TEXT,
                    PRIMARY KEY (partner_id, id)
                )",
                // What of a mapping has arrived: everything up to the generations `sent_*`, and, while `class`
                // says so, of what changed until `at_*` everything up to the object `behind`.
                "CREATE TABLE intake_positions (
                    partner_id {uuid} NOT NULL,
                    intake_id {uuid} NOT NULL,
                    mapping_id {uuid} NOT NULL,
                    sent_directory BIGINT NOT NULL,
                    sent_activity BIGINT NOT NULL,
                    sent_secure_score BIGINT NOT NULL,
                    at_directory BIGINT NOT NULL,
                    at_activity BIGINT NOT NULL,
                    at_secure_score BIGINT NOT NULL,
                    class TEXT,
                    behind TEXT NOT NULL,
                    PRIMARY KEY (partner_id, intake_id, mapping_id),
                    FOREIGN KEY (partner_id, intake_id) REFERENCES intakes (partner_id, id),
                    FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
                )",
                // By which a device of the directory finds the one that Intune manages.
                "CREATE INDEX managed_devices_device
                    ON managed_devices (partner_id, mapping_id, device_id)",
            ],
        )
        .await?;
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            for table in ["intakes", "intake_positions"] {
                let statements = wall(table, "partner_id");
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                crate::execute(manager, &statements).await?;
            }
        }
        Ok(())
    }
}
