//! Alerts: opened once while their cause lasts, closed when it is gone.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m30_alerts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                "CREATE TABLE alerts (
                    partner_id {uuid} NOT NULL REFERENCES partners (id),
                    id {uuid} NOT NULL,
                    number BIGINT NOT NULL,
                    kind TEXT NOT NULL,
                    subject TEXT NOT NULL,
                    company_id {uuid},
                    severity TEXT NOT NULL,
                    stage TEXT NOT NULL,
                    title TEXT NOT NULL,
                    text TEXT NOT NULL,
                    link TEXT NOT NULL,
                    state TEXT NOT NULL,
                    opened_at BIGINT NOT NULL,
                    changed_at BIGINT NOT NULL,
                    snoozed_until BIGINT,
                    handled_by TEXT,
                    handled_at BIGINT,
                    closed_at BIGINT,
                    PRIMARY KEY (partner_id, id),
                    FOREIGN KEY (partner_id, company_id) REFERENCES companies (partner_id, id)
                )",
                // One alert while its cause lasts, whoever looks at the same moment.
                "CREATE UNIQUE INDEX alerts_open ON alerts (partner_id, kind, subject)
                    WHERE closed_at IS NULL",
                "CREATE INDEX alerts_list ON alerts (partner_id, opened_at)",
                "CREATE INDEX alerts_of_company ON alerts (partner_id, company_id)",
                "ALTER TABLE partners ADD COLUMN alert_number BIGINT NOT NULL DEFAULT 0",
            ],
        )
        .await?;
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            let statements = wall("alerts", "partner_id");
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            crate::execute(manager, &statements).await?;
        }
        Ok(())
    }
}
