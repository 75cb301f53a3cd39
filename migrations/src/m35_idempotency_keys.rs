//! What was answered to a request that may be sent again.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m35_idempotency_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                // An answer may show a secret once, so it is sealed. Without a status it is being made.
                "CREATE TABLE idempotency_keys (
                    partner_id {uuid} NOT NULL REFERENCES partners (id),
                    id {uuid} NOT NULL,
                    token_id TEXT NOT NULL,
                    name TEXT NOT NULL,
                    fingerprint TEXT NOT NULL,
                    status BIGINT,
                    content_type TEXT NOT NULL,
                    location TEXT NOT NULL,
                    key_version BIGINT NOT NULL,
                    wrapped {bytes} NOT NULL,
                    sealed {bytes} NOT NULL,
                    created_at BIGINT NOT NULL,
                    PRIMARY KEY (partner_id, id),
                    UNIQUE (partner_id, token_id, name)
                )",
                "CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at)",
            ],
        )
        .await?;
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            let statements = wall("idempotency_keys", "partner_id");
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            crate::execute(manager, &statements).await?;
        }
        Ok(())
    }
}
