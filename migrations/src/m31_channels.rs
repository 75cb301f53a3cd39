//! Channels that notifications leave by, and the outbox: what is to be sent is written in the transaction
//! of what it tells of, and sent by a worker.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m31_channels"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                // The secret, where the kind has one, is sealed; a channel that was removed has none.
                "CREATE TABLE channels (
                    partner_id {uuid} NOT NULL REFERENCES partners (id),
                    id {uuid} NOT NULL,
                    kind TEXT NOT NULL,
                    name TEXT NOT NULL,
                    settings TEXT NOT NULL,
                    key_version BIGINT NOT NULL,
                    wrapped {bytes} NOT NULL,
                    sealed {bytes} NOT NULL,
                    kinds TEXT NOT NULL,
                    least_severity TEXT NOT NULL,
                    companies TEXT,
                    digest_hour BIGINT,
                    digested_day TEXT,
                    created_at BIGINT NOT NULL,
                    removed_at BIGINT,
                    last_sent_at BIGINT,
                    last_error_at BIGINT,
                    last_error TEXT,
                    PRIMARY KEY (partner_id, id)
                )",
                "CREATE TABLE deliveries (
                    partner_id {uuid} NOT NULL,
                    id {uuid} NOT NULL,
                    channel_id {uuid} NOT NULL,
                    company_id {uuid},
                    event TEXT NOT NULL,
                    subject TEXT NOT NULL,
                    body TEXT NOT NULL,
                    state TEXT NOT NULL,
                    attempts BIGINT NOT NULL,
                    not_before BIGINT NOT NULL,
                    lease_until BIGINT,
                    created_at BIGINT NOT NULL,
                    sent_at BIGINT,
                    error TEXT,
                    PRIMARY KEY (partner_id, id),
                    FOREIGN KEY (partner_id, channel_id) REFERENCES channels (partner_id, id)
                )",
                "CREATE INDEX deliveries_of_channel ON deliveries (partner_id, channel_id, created_at)",
                "CREATE INDEX deliveries_due ON deliveries (not_before)
                    WHERE state IN ('queued', 'sending')",
            ],
        )
        .await?;
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            for table in ["channels", "deliveries"] {
                let statements = wall(table, "partner_id");
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                crate::execute(manager, &statements).await?;
            }
        }
        Ok(())
    }
}
