//! What a webhook is told of beside alerts.

use sea_orm_migration::prelude::*;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m36_channel_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(
            manager,
            &["ALTER TABLE channels ADD COLUMN events TEXT NOT NULL DEFAULT '[]'"],
        )
        .await
    }
}
