//! Versions and snapshots (docs/adr/0007-snapshots.md): a row of an inventory table is one version
//! of an object, seen from generation `since` and, once it was superseded or removed, until
//! generation `until`. A snapshot names the generation that readers see, so that a whole sync
//! appears at once. The inventory tables are made anew, because a primary key cannot be altered on
//! SQLite; what they hold is kept.

use sea_orm_migration::prelude::*;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m22_snapshots"
    }
}

/// A table with versions: its name, its parent column if any, its content columns, and the columns
/// by which it is listed, if it is.
pub(crate) struct Inventory {
    pub(crate) table: &'static str,
    pub(crate) parent: Option<&'static str>,
    pub(crate) columns: &'static [(&'static str, &'static str)],
    pub(crate) listed_by: Option<&'static str>,
}

impl Inventory {
    /// Statements that make it.
    pub(crate) fn statements(&self) -> Vec<String> {
        let Self { table, parent, .. } = self;
        let parent_column = parent.map_or(String::new(), |p| format!("{p} TEXT NOT NULL, "));
        let parent_key = parent.map_or(String::new(), |p| format!("{p}, "));
        let columns: String = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}, "))
            .collect();
        let mut statements = vec![format!(
            "CREATE TABLE {table} (
                partner_id {{uuid}} NOT NULL,
                mapping_id {{uuid}} NOT NULL,
                {parent_column}id TEXT NOT NULL,
                since BIGINT NOT NULL,
                until BIGINT NOT NULL,
                seen BIGINT NOT NULL,
                company_id {{uuid}} NOT NULL,
                digest BIGINT NOT NULL,
                first_seen_at BIGINT NOT NULL,
                changed_at BIGINT NOT NULL,
                ended_at BIGINT,
                {columns}PRIMARY KEY (partner_id, mapping_id, {parent_key}id, since),
                FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
            )"
        )];
        if let Some(by) = self.listed_by {
            statements.push(format!(
                "CREATE INDEX {table}_list ON {table} (partner_id, mapping_id, {by})"
            ));
        }
        statements
    }
}

const TEXT: &str = "TEXT";
const NAME: &str = "TEXT NOT NULL";
const BOOLEAN: &str = "BOOLEAN";
const NUMBER: &str = "BIGINT";
const POINTS: &str = "DOUBLE PRECISION";

/// The tables that were there before, with the columns that they had.
const TABLES: &[Inventory] = &[
    Inventory {
        table: "users",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("user_principal_name", NAME),
            ("mail", TEXT),
            ("given_name", TEXT),
            ("surname", TEXT),
            ("job_title", TEXT),
            ("department", TEXT),
            ("office_location", TEXT),
            ("company_name", TEXT),
            ("employee_id", TEXT),
            ("employee_type", TEXT),
            ("usage_location", TEXT),
            ("user_type", TEXT),
            ("external_user_state", TEXT),
            ("account_enabled", BOOLEAN),
            ("on_premises_sync_enabled", BOOLEAN),
            ("licences", TEXT),
            ("licensed", BOOLEAN),
            ("account_created_at", NUMBER),
            ("last_password_change_at", NUMBER),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "mfa_registrations",
        parent: None,
        columns: &[
            ("is_admin", BOOLEAN),
            ("is_mfa_registered", BOOLEAN),
            ("is_mfa_capable", BOOLEAN),
            ("is_passwordless_capable", BOOLEAN),
            ("methods", TEXT),
            ("reported_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "groups",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("description", TEXT),
            ("kind", NAME),
            ("membership_rule", TEXT),
            ("mail", TEXT),
            ("visibility", TEXT),
            ("security_enabled", BOOLEAN),
            ("mail_enabled", BOOLEAN),
            ("is_assignable_to_role", BOOLEAN),
            ("on_premises_sync_enabled", BOOLEAN),
            ("group_created_at", NUMBER),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "group_members",
        parent: Some("group_id"),
        columns: &[("member_type", NAME), ("display_name", TEXT)],
        listed_by: Some("id"),
    },
    Inventory {
        table: "domains",
        parent: None,
        columns: &[
            ("authentication_type", TEXT),
            ("is_default", BOOLEAN),
            ("is_initial", BOOLEAN),
            ("is_verified", BOOLEAN),
            ("supported_services", TEXT),
        ],
        listed_by: None,
    },
    Inventory {
        table: "secure_scores",
        parent: None,
        columns: &[
            ("day", NAME),
            ("current_score", "DOUBLE PRECISION NOT NULL"),
            ("max_score", "DOUBLE PRECISION NOT NULL"),
            ("active_user_count", NUMBER),
            ("licensed_user_count", NUMBER),
            ("enabled_services", NAME),
            ("averages", NAME),
        ],
        listed_by: Some("day"),
    },
    Inventory {
        table: "control_scores",
        parent: Some("day"),
        columns: &[
            ("category", NAME),
            ("score", POINTS),
            ("score_in_percentage", POINTS),
            ("implementation_status", TEXT),
            ("description", TEXT),
            ("last_synced_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "control_profiles",
        parent: None,
        columns: &[
            ("title", NAME),
            ("category", NAME),
            ("max_score", POINTS),
            ("rank", NUMBER),
            ("action_type", TEXT),
            ("action_url", TEXT),
            ("service", TEXT),
            ("tier", TEXT),
            ("threats", NAME),
            ("user_impact", TEXT),
            ("implementation_cost", TEXT),
            ("remediation", TEXT),
            ("remediation_impact", TEXT),
            ("state", TEXT),
            ("deprecated", BOOLEAN),
        ],
        listed_by: None,
    },
    Inventory {
        table: "subscribed_skus",
        parent: None,
        columns: &[
            ("sku_id", NAME),
            ("sku_part_number", NAME),
            ("capability_status", TEXT),
            ("applies_to", TEXT),
            ("enabled_units", NUMBER),
            ("suspended_units", NUMBER),
            ("warning_units", NUMBER),
            ("consumed_units", NUMBER),
            ("service_plans", NAME),
        ],
        listed_by: None,
    },
];

/// Rows of before are of generation 1; those that were removed ended with it.
fn rebuild(table: &Inventory) -> Vec<String> {
    let name = table.table;
    let mut columns: Vec<&str> = table.parent.into_iter().collect();
    columns.extend(table.columns.iter().map(|(column, _)| *column));
    let columns = columns.join(", ");
    let mut statements = vec![format!("ALTER TABLE {name} RENAME TO {name}_before")];
    statements.extend(table.statements());
    statements.push(format!(
        "INSERT INTO {name} (partner_id, mapping_id, id, since, until, seen, company_id, digest,
            first_seen_at, changed_at, ended_at, {columns})
         SELECT partner_id, mapping_id, id, 0,
            CASE WHEN removed_at IS NULL THEN 9223372036854775807 ELSE 1 END, 0, company_id, digest,
            first_seen_at, changed_at, removed_at, {columns} FROM {name}_before"
    ));
    statements.push(format!("DROP TABLE {name}_before"));
    statements
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Indexes keep their names when a table is renamed.
        let mut statements: Vec<String> = [
            "users_company",
            "groups_company",
            "group_members_of",
            "secure_scores_day",
        ]
        .iter()
        .map(|index| format!("DROP INDEX {index}"))
        .collect();
        statements.extend(TABLES.iter().flat_map(rebuild));
        statements.extend(
            [
                "CREATE TABLE snapshots (
                    partner_id {uuid} NOT NULL,
                    mapping_id {uuid} NOT NULL,
                    kind TEXT NOT NULL,
                    generation BIGINT NOT NULL,
                    published BIGINT NOT NULL,
                    published_at BIGINT,
                    PRIMARY KEY (partner_id, mapping_id, kind),
                    FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
                )",
                "INSERT INTO snapshots (partner_id, mapping_id, kind, generation, published, published_at)
                 SELECT partner_id, id, 'directory', generation + 1, 1, last_sync_at FROM mappings",
                "INSERT INTO snapshots (partner_id, mapping_id, kind, generation, published, published_at)
                 SELECT partner_id, id, 'secure_score', generation + 1, 1, last_sync_at FROM mappings",
                // What a collector read last, and where it goes on.
                "CREATE TABLE collections (
                    partner_id {uuid} NOT NULL,
                    mapping_id {uuid} NOT NULL,
                    name TEXT NOT NULL,
                    staged BIGINT NOT NULL DEFAULT 0,
                    cursor TEXT,
                    cursor_at BIGINT,
                    read_at BIGINT,
                    full_at BIGINT,
                    held_at BIGINT,
                    held_missing BIGINT,
                    held_known BIGINT,
                    confirmed_at BIGINT,
                    confirmed_by TEXT,
                    PRIMARY KEY (partner_id, mapping_id, name),
                    FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
                )",
                "ALTER TABLE mappings DROP COLUMN generation",
            ]
            .map(str::to_owned),
        );
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        crate::execute(manager, &statements).await
    }
}
