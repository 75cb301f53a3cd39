//! Evidence that syncs write, assessments that it is attached to, and what the database itself refuses:
//! a statement is never altered, and what an approved assessment rests on is never removed.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

use crate::m27_partner_wall::wall;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m29_evidence"
    }
}

const TABLES: &[&str] = &[
    // One statement: what a sync saw, in canonical JSON. The same again is observed, not copied.
    "CREATE TABLE evidence (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        company_id {uuid} NOT NULL,
        mapping_id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        content TEXT NOT NULL,
        generation BIGINT NOT NULL,
        run_id {uuid} NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, id),
        UNIQUE (partner_id, mapping_id, kind, fingerprint),
        FOREIGN KEY (partner_id, mapping_id) REFERENCES mappings (partner_id, id)
    )",
    "CREATE INDEX evidence_of_company ON evidence (partner_id, company_id, created_at)",
    "CREATE TABLE evidence_observations (
        partner_id {uuid} NOT NULL,
        evidence_id {uuid} NOT NULL,
        run_id {uuid} NOT NULL,
        company_id {uuid} NOT NULL,
        mapping_id {uuid} NOT NULL,
        kind TEXT NOT NULL,
        observed_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, evidence_id, run_id),
        FOREIGN KEY (partner_id, evidence_id) REFERENCES evidence (partner_id, id)
    )",
    "CREATE INDEX evidence_observed ON evidence_observations (partner_id, mapping_id, kind, observed_at)",
    "CREATE INDEX evidence_by_time ON evidence_observations (partner_id, observed_at)",
    "CREATE TABLE assessments (
        partner_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        company_id {uuid} NOT NULL,
        name TEXT NOT NULL,
        catalogue TEXT NOT NULL,
        controls TEXT NOT NULL,
        period_start BIGINT NOT NULL,
        period_end BIGINT NOT NULL,
        state TEXT NOT NULL,
        created_by {uuid} NOT NULL REFERENCES members (id),
        created_by_name TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        approved_by {uuid} REFERENCES members (id),
        approved_by_name TEXT,
        approved_at BIGINT,
        note TEXT NOT NULL,
        PRIMARY KEY (partner_id, id),
        FOREIGN KEY (partner_id, company_id) REFERENCES companies (partner_id, id)
    )",
    "CREATE INDEX assessments_of_company ON assessments (partner_id, company_id)",
    "CREATE TABLE assessment_evidence (
        partner_id {uuid} NOT NULL,
        assessment_id {uuid} NOT NULL,
        control TEXT NOT NULL,
        evidence_id {uuid} NOT NULL,
        attached_by {uuid} NOT NULL REFERENCES members (id),
        attached_by_name TEXT NOT NULL,
        attached_at BIGINT NOT NULL,
        PRIMARY KEY (partner_id, assessment_id, control, evidence_id),
        FOREIGN KEY (partner_id, assessment_id) REFERENCES assessments (partner_id, id),
        FOREIGN KEY (partner_id, evidence_id) REFERENCES evidence (partner_id, id)
    )",
    "CREATE INDEX assessment_evidence_by_evidence ON assessment_evidence (partner_id, evidence_id)",
    // Runs that ended before there was evidence have none to write.
    "ALTER TABLE runs ADD COLUMN attested_at BIGINT",
    "UPDATE runs SET attested_at = COALESCE(finished_at, created_at)",
    "CREATE INDEX runs_to_attest ON runs (finished_at)
        WHERE attested_at IS NULL AND state IN ('completed', 'partial')",
];

/// What is refused: name, event, table, condition in terms of OLD or NEW (`ROW`), and why.
const GUARDS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "evidence_no_update",
        "UPDATE",
        "evidence",
        "1 = 1",
        "evidence is written once",
    ),
    (
        "evidence_no_delete",
        "DELETE",
        "evidence",
        "EXISTS (SELECT 1 FROM assessment_evidence e JOIN assessments a
            ON a.partner_id = e.partner_id AND a.id = e.assessment_id
            WHERE e.partner_id = OLD.partner_id AND e.evidence_id = OLD.id AND a.state = 'approved')",
        "evidence of an approved assessment stays",
    ),
    (
        "observations_no_update",
        "UPDATE",
        "evidence_observations",
        "1 = 1",
        "evidence is written once",
    ),
    (
        "observations_no_delete",
        "DELETE",
        "evidence_observations",
        "EXISTS (SELECT 1 FROM assessment_evidence e JOIN assessments a
            ON a.partner_id = e.partner_id AND a.id = e.assessment_id
            WHERE e.partner_id = OLD.partner_id AND e.evidence_id = OLD.evidence_id
            AND a.state = 'approved')",
        "evidence of an approved assessment stays",
    ),
    (
        "assessments_no_update",
        "UPDATE",
        "assessments",
        "OLD.state = 'approved'",
        "an approved assessment stays as it is",
    ),
    (
        "assessments_no_delete",
        "DELETE",
        "assessments",
        "OLD.state = 'approved'",
        "an approved assessment stays as it is",
    ),
    (
        "attached_no_insert",
        "INSERT",
        "assessment_evidence",
        "EXISTS (SELECT 1 FROM assessments a WHERE a.partner_id = NEW.partner_id
            AND a.id = NEW.assessment_id AND a.state = 'approved')",
        "an approved assessment stays as it is",
    ),
    (
        "attached_no_update",
        "UPDATE",
        "assessment_evidence",
        "1 = 1",
        "evidence is attached or not, never altered",
    ),
    (
        "attached_no_delete",
        "DELETE",
        "assessment_evidence",
        "EXISTS (SELECT 1 FROM assessments a WHERE a.partner_id = OLD.partner_id
            AND a.id = OLD.assessment_id AND a.state = 'approved')",
        "an approved assessment stays as it is",
    ),
];

fn guard(is_postgres: bool, guard: &(&str, &str, &str, &str, &str)) -> Vec<String> {
    let (name, event, table, condition, why) = guard;
    let row = if *event == "DELETE" { "OLD" } else { "NEW" };
    match is_postgres {
        false => vec![format!(
            "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {condition}
             BEGIN SELECT RAISE(ABORT, '{why}'); END"
        )],
        // Row-level security holds inside of the function as well: what it asks about is of the partner
        // whose row is changed.
        true => vec![
            format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN IF {condition} THEN RAISE EXCEPTION '{why}'; END IF; RETURN {row}; END $$"
            ),
            format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table}
                 FOR EACH ROW EXECUTE FUNCTION {name}()"
            ),
        ],
    }
}

/// What is never emptied as a whole; SQLite has no TRUNCATE.
fn not_emptied(table: &str) -> String {
    format!(
        "CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table}
         FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
}

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::execute(manager, TABLES).await?;
        let is_postgres = manager.get_database_backend() == DatabaseBackend::Postgres;
        let mut statements: Vec<String> = GUARDS
            .iter()
            .flat_map(|one| guard(is_postgres, one))
            .collect();
        if is_postgres {
            for table in [
                "evidence",
                "evidence_observations",
                "assessments",
                "assessment_evidence",
            ] {
                statements.extend(wall(table, "partner_id"));
                statements.push(not_emptied(table));
            }
        }
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        crate::execute(manager, &statements).await
    }
}
