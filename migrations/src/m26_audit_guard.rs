//! The audit log changes by growing alone, whoever asks the database; and checkpoints of it, signed.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m26_audit_guard"
    }
}

/// Tables whose rows are written once.
const WRITTEN_ONCE: [&str; 1] = ["audit_rows"];

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &[
                "CREATE TABLE signing_keys (
                    id TEXT NOT NULL PRIMARY KEY,
                    row_id {uuid} NOT NULL,
                    public_key TEXT NOT NULL,
                    provider_key TEXT NOT NULL,
                    wrapped {bytes} NOT NULL,
                    sealed {bytes} NOT NULL,
                    created_at BIGINT NOT NULL
                )",
                "CREATE TABLE audit_checkpoints (
                    partner_id {uuid} NOT NULL REFERENCES partners (id),
                    seq BIGINT NOT NULL,
                    head TEXT NOT NULL,
                    at BIGINT NOT NULL,
                    key_id TEXT NOT NULL,
                    signature TEXT NOT NULL,
                    exported_at BIGINT,
                    PRIMARY KEY (partner_id, seq)
                )",
                "CREATE INDEX audit_by_time ON audit_rows (partner_id, at)",
            ],
        )
        .await?;
        let is_postgres = manager.get_database_backend() == DatabaseBackend::Postgres;
        if is_postgres {
            let function = "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME; END $$";
            crate::execute(manager, &[function]).await?;
        }
        for table in WRITTEN_ONCE {
            let statements = match is_postgres {
                true => vec![
                    format!(
                        "CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE ON {table}
                         FOR EACH ROW EXECUTE FUNCTION refuse_change()"
                    ),
                    format!(
                        "CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table}
                         FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
                    ),
                ],
                false => ["UPDATE", "DELETE"]
                    .map(|event| {
                        format!(
                            "CREATE TRIGGER {table}_no_{event} BEFORE {event} ON {table}
                             BEGIN SELECT RAISE(ABORT, 'rows of {table} are written once'); END"
                        )
                    })
                    .to_vec(),
            };
            let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
            crate::execute(manager, &statements).await?;
        }
        Ok(())
    }
}
