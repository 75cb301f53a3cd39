//! Row-level security on PostgreSQL: a row of a partner's table is there for whoever has that partner
//! in their transaction, and for nobody else. FORCE holds the owner of the tables to it as well. A
//! subselect is evaluated once for a statement, not once for a row.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::{EVERYBODY, SETTING};

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m27_partner_wall"
    }
}

/// Puts the wall around a table whose rows name their partner in `column`; for PostgreSQL alone.
pub(crate) fn wall(table: &str, column: &str) -> Vec<String> {
    let now = format!("current_setting('{SETTING}', true)");
    let sees = format!(
        "{column} = (SELECT NULLIF(NULLIF({now}, ''), '{EVERYBODY}')::uuid)
         OR (SELECT {now} = '{EVERYBODY}')"
    );
    vec![
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!("CREATE POLICY partner_wall ON {table} USING ({sees}) WITH CHECK ({sees})"),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DatabaseBackend::Postgres {
            return Ok(());
        }
        // What there is at this point; a table that comes later puts up its own wall.
        let rows = manager
            .get_connection()
            .query_all_raw(sea_orm_migration::sea_orm::Statement::from_string(
                DatabaseBackend::Postgres,
                "SELECT c.table_name FROM information_schema.columns c
                 JOIN information_schema.tables t USING (table_schema, table_name)
                 WHERE c.table_schema = current_schema() AND c.column_name = 'partner_id'
                    AND t.table_type = 'BASE TABLE' ORDER BY c.table_name",
            ))
            .await?;
        for row in rows {
            let table: String = row.try_get("", "table_name")?;
            // A session is a person's, who may end theirs with every partner.
            if table != "sessions" {
                let statements = wall(&table, "partner_id");
                let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
                crate::execute(manager, &statements).await?;
            }
        }
        let statements = wall("partners", "id");
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        crate::execute(manager, &statements).await
    }
}
