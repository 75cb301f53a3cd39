//! Monthly reports: how a partner's look, and when which company's is sent to whom. And the contact form.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m32_reports"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                "CREATE TABLE brands (
                    partner_id {uuid} NOT NULL PRIMARY KEY REFERENCES partners (id),
                    colour TEXT NOT NULL,
                    logo {bytes},
                    logo_type TEXT NOT NULL
                )",
                "CREATE TABLE report_schedules (
                    partner_id {uuid} NOT NULL,
                    id {uuid} NOT NULL,
                    company_id {uuid} NOT NULL,
                    channel_id {uuid} NOT NULL,
                    recipients TEXT NOT NULL,
                    day BIGINT NOT NULL,
                    last_month TEXT NOT NULL,
                    created_at BIGINT NOT NULL,
                    removed_at BIGINT,
                    PRIMARY KEY (partner_id, id),
                    FOREIGN KEY (partner_id, company_id) REFERENCES companies (partner_id, id),
                    FOREIGN KEY (partner_id, channel_id) REFERENCES channels (partner_id, id)
                )",
                "CREATE INDEX report_schedules_of_company ON report_schedules (partner_id, company_id)",
                "CREATE TABLE contact_forms (
                    partner_id {uuid} NOT NULL PRIMARY KEY REFERENCES partners (id),
                    slug TEXT NOT NULL UNIQUE,
                    channel_id {uuid} NOT NULL,
                    recipient TEXT NOT NULL,
                    intro TEXT NOT NULL,
                    is_on BIGINT NOT NULL,
                    FOREIGN KEY (partner_id, channel_id) REFERENCES channels (partner_id, id)
                )",
            ],
        )
        .await?;
        if manager.get_database_backend() == DatabaseBackend::Postgres {
            for table in ["brands", "report_schedules", "contact_forms"] {
                let statements = wall(table, "partner_id");
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                crate::execute(manager, &statements).await?;
            }
        }
        Ok(())
    }
}
