//! PostgreSQL keeps partners apart by itself: what its server does with the runtime's role, whatever
//! the statement is. And in the sources: who may look over all partners.

use std::collections::{BTreeMap, BTreeSet};

use model::{Pool, partner};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgRow};

use crate::app::{Database, TestApp, postgres_server, run};

fn runtime(app: &TestApp) -> PgPool {
    match app.db.pool() {
        Pool::Postgres(pool) => pool.clone(),
        Pool::Sqlite(_) => unreachable!("only PostgreSQL has the wall"),
    }
}

fn owner(app: &TestApp) -> PgPool {
    match app.db.owner_pool() {
        Pool::Postgres(pool) => pool,
        Pool::Sqlite(_) => unreachable!("only PostgreSQL has the wall"),
    }
}

async fn rows(pool: &PgPool, sql: &str) -> Vec<PgRow> {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn names(pool: &PgPool, sql: &str) -> BTreeSet<String> {
    rows(pool, sql).await.iter().map(|row| row.get(0)).collect()
}

/// Runs a statement in a transaction of the runtime's role with this partner; what it changed, or why
/// it was refused.
async fn within(app: &TestApp, partner: &str, sql: &str) -> Result<u64, String> {
    let mut tx = runtime(app).begin().await.unwrap();
    sqlx::query("SELECT set_config('tenantry.partner', $1, true)")
        .bind(partner)
        .execute(&mut *tx)
        .await
        .unwrap();
    let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(&mut *tx)
        .await
        .map_err(|error| error.to_string())?;
    tx.commit().await.map_err(|error| error.to_string())?;
    Ok(done.rows_affected())
}

async fn start() -> Option<TestApp> {
    let server = postgres_server()?;
    Some(TestApp::start(Database::Postgres(server)).await)
}

#[test]
fn every_table_stands_behind_the_wall_or_on_the_list() {
    run(|| async {
        let Some(app) = start().await else { return };
        let pool = owner(&app);
        let all = names(
            &pool,
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
        )
        .await;
        let walled = names(
            &pool,
            "SELECT c.relname::text FROM pg_class c JOIN pg_policies p ON p.tablename = c.relname AND p.schemaname = 'public'
             WHERE c.relnamespace = 'public'::regnamespace AND c.relrowsecurity AND c.relforcerowsecurity
                AND p.cmd = 'ALL' AND p.qual IS NOT NULL AND p.with_check = p.qual AND p.permissive = 'PERMISSIVE'
             GROUP BY c.relname HAVING COUNT(*) = 1",
        )
        .await;
        let listed: BTreeSet<String> = migrations::PARTNERS_TABLES
            .iter()
            .map(|t| (*t).to_owned())
            .collect();
        let common: BTreeSet<String> = migrations::COMMON_TABLES
            .iter()
            .map(|(t, _)| (*t).to_owned())
            .collect();
        assert_eq!(walled, listed);
        assert!(listed.is_disjoint(&common));
        assert_eq!(all, &listed | &common, "a table is on neither list");
        let owned = names(
            &pool,
            "SELECT table_name::text FROM information_schema.columns
             WHERE table_schema = 'public' AND column_name = 'partner_id' AND is_nullable = 'NO'",
        )
        .await;
        let but_partners: BTreeSet<String> = listed
            .iter()
            .filter(|t| *t != "partners")
            .cloned()
            .collect();
        let sessions = BTreeSet::from(["sessions".to_owned()]);
        assert_eq!(owned, &but_partners | &sessions);
        println!(
            "B2: {} tables behind the wall, {} common ones",
            walled.len(),
            common.len()
        );
    });
}

#[test]
fn the_servers_role_sees_and_changes_its_partners_rows_alone() {
    run(|| async {
        let Some(app) = start().await else { return };
        app.connected("Contoso").await;
        app.drain().await;
        let ours = app.partner.to_string();
        let other = partner::create(&app.db, &app.connection.keyring, "Other")
            .await
            .unwrap();
        let other = other.to_string();
        let (server, owner) = (runtime(&app), owner(&app));
        let role = rows(
            &server,
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb, current_user::text FROM pg_roles WHERE rolname = current_user",
        )
        .await;
        assert!(!role[0].get::<bool, _>(0));
        let mine = names(
            &owner,
            "SELECT c.relname::text FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = 'tenantry_app'",
        )
        .await;
        assert!(mine.is_empty(), "{mine:?}");

        let mut filled = 0;
        for table in migrations::PARTNERS_TABLES {
            let column = if *table == "partners" {
                "id"
            } else {
                "partner_id"
            };
            let count = format!("SELECT COUNT(*) FROM {table}");
            let stored: i64 =
                rows(&owner, &format!("{count} WHERE {column} = '{ours}'")).await[0].get(0);
            filled += usize::from(stored > 0);
            // Without a partner there is nothing.
            assert_eq!(
                rows(&server, &count).await[0].get::<i64, _>(0),
                0,
                "{table}"
            );
            for context in ["", &other] {
                let seen = within(
                    &app,
                    context,
                    &format!("SELECT 1 FROM {table} WHERE {column} = '{ours}'"),
                )
                .await;
                assert_eq!(seen, Ok(0), "{table} as {context:?}");
            }
            if !migrations::WRITTEN_ONCE.contains(table) {
                for change in [
                    format!("UPDATE {table} SET {column} = {column} WHERE {column} = '{ours}'"),
                    format!("DELETE FROM {table} WHERE {column} = '{ours}'"),
                ] {
                    assert_eq!(within(&app, &other, &change).await, Ok(0), "{change}");
                }
            }
            // A copy of our row cannot be put in by somebody else, nor can theirs become ours.
            let copy = format!(
                "INSERT INTO {table} SELECT r.* FROM jsonb_populate_recordset(NULL::{table}, $1::jsonb) r"
            );
            let one = rows(
                &owner,
                &format!(
                    "SELECT to_jsonb(t)::text FROM {table} t WHERE {column} = '{ours}' LIMIT 1"
                ),
            )
            .await;
            if let Some(row) = one.first() {
                let row: String = row.get(0);
                let copy = copy.replace("$1", &format!("$row$[{row}]$row$"));
                let refused = within(&app, &other, &copy).await.unwrap_err();
                assert!(refused.contains("row-level security"), "{table}: {refused}");
            }
            let after: i64 =
                rows(&owner, &format!("{count} WHERE {column} = '{ours}'")).await[0].get(0);
            // Our own worker may add to it meanwhile.
            assert!(after >= stored, "{table}: {after} of {stored} are left");
        }
        assert!(filled > 25, "only {filled} tables had rows of ours");
        let stolen = within(
            &app,
            &other,
            &format!("UPDATE partner_keys SET partner_id = '{ours}'"),
        )
        .await;
        assert!(stolen.unwrap_err().contains("row-level security"));

        // The context ends with its transaction, on the very same connection.
        let mut connection = server.acquire().await.unwrap();
        for sql in [
            "BEGIN".to_owned(),
            format!("SELECT set_config('tenantry.partner', '{ours}', true)"),
            "COMMIT".to_owned(),
        ] {
            sqlx::query(AssertSqlSafe(sql))
                .execute(&mut *connection)
                .await
                .unwrap();
        }
        let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM companies")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        assert_eq!(left, 0);
        println!(
            "B2: {} tables, {filled} of them with rows: none seen or changed from outside",
            migrations::PARTNERS_TABLES.len()
        );
    });
}

#[test]
fn the_servers_role_may_not_take_the_wall_down() {
    run(|| async {
        let Some(app) = start().await else { return };
        app.post("/companies", json!({ "name": "One" })).await;
        let ours = app.partner.to_string();
        for sql in [
            "UPDATE audit_rows SET actor_name = 'nobody'",
            "DELETE FROM audit_rows",
            "TRUNCATE audit_rows",
            "TRUNCATE companies CASCADE",
            "ALTER TABLE companies DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE companies NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY partner_wall ON companies",
            "CREATE POLICY mine ON companies USING (true)",
            "ALTER TABLE audit_rows DISABLE TRIGGER ALL",
            "DROP TABLE companies",
            "SET ROLE tenantry",
            "SET SESSION AUTHORIZATION tenantry",
            "UPDATE seaql_migrations SET version = version",
            "SELECT pg_read_file('/etc/hostname')",
            "COPY companies TO PROGRAM 'cat'",
        ] {
            let refused = within(&app, &ours, sql).await.unwrap_err();
            let is_refused = ["permission denied", "must be owner", "must be superuser"]
                .iter()
                .any(|why| refused.contains(why));
            assert!(is_refused, "{sql}: {refused}");
        }
    });
}

/// A server that would log in as a superuser does not start.
#[test]
fn a_role_that_no_wall_holds_is_refused() {
    run(|| async {
        let Some(server) = postgres_server() else {
            return;
        };
        let owned = crate::app::fresh_database(&server).await;
        let refused = model::Db::connect(&owned.owner, model::Clock::system()).await;
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("superuser") && text.contains("TENANTRY_DATABASE_OWNER_URL"),
            "{text}"
        );
    });
}

/// The owner's password stays off the server: it migrates from elsewhere, and the server starts and
/// works with its own role alone. And what it cannot do without the owner it says.
#[test]
fn a_server_needs_no_owner_once_the_schema_is_there() {
    run(|| async {
        let Some(server) = postgres_server() else {
            return;
        };
        let crate::app::Owned { url, owner } = crate::app::fresh_database(&server).await;
        let clock = model::Clock::system;
        let alone = model::Db::connect(&url, clock()).await.unwrap();
        assert!(alone.pending_migrations().await.unwrap() > 0);
        let refused = alone.migrate().await.unwrap_err().to_string();
        assert!(refused.contains("TENANTRY_DATABASE_OWNER_URL"), "{refused}");
        let both = model::Db::connect_owned(&url, &owner, clock())
            .await
            .unwrap();
        both.migrate().await.unwrap();
        sync::prepare_queue(&both).await.unwrap();
        both.close().await;
        assert_eq!(alone.pending_migrations().await.unwrap(), 0);
        alone.migrate().await.unwrap();
        sync::prepare_queue(&alone).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = keys::FileProvider::open_or_create(&directory.path().join("key")).unwrap();
        let keyring = keys::Keyring::new(file);
        partner::create(&alone, &keyring, "Halden MSP")
            .await
            .unwrap();
        assert_eq!(partner::list(&alone).await.unwrap().len(), 1);
        alone.close().await;
    });
}

/// Who may look over all partners, and how often each file says so; `docs/security.md` has why.
const EVERYBODY: &[(&str, usize)] = &[
    ("alert/evaluate.rs", 1),
    ("api_token.rs", 1),
    ("audit/checkpoint.rs", 2),
    ("authorisation.rs", 1),
    ("company.rs", 2),
    ("consent_link.rs", 1),
    ("consent_request.rs", 4),
    ("contact_form.rs", 1),
    ("credential/secret.rs", 1),
    ("data_key/rewrap.rs", 3),
    ("delivery.rs", 2),
    ("evidence/attest.rs", 1),
    ("held_form.rs", 1),
    ("idempotency_key.rs", 1),
    ("intake.rs", 1),
    ("invitation.rs", 2),
    ("member.rs", 2),
    ("partner.rs", 5),
    ("recovery.rs", 1),
    ("report_schedule.rs", 1),
    ("run/plan.rs", 5),
    ("sign_in_provider.rs", 2),
];

fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn who_looks_over_all_partners_is_on_the_list() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut files = vec![];
    sources(&root, &mut files);
    let mut found = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        // What must not compile names what it may not.
        if name.starts_with("model/src/db") || name.contains("/tests/compile_fail/") {
            continue;
        }
        assert!(
            !text.contains("DatabaseConnection"),
            "{name} holds a connection of its own"
        );
        let uses =
            text.matches(".everybody()").count() + text.matches(".everybody_writer()").count();
        if uses > 0 {
            found.insert(name.trim_start_matches("model/src/").to_owned(), uses);
        }
    }
    let listed: BTreeMap<String, usize> = EVERYBODY
        .iter()
        .map(|(name, uses)| ((*name).to_owned(), *uses))
        .collect();
    assert_eq!(found, listed);
    let security = std::fs::read_to_string(root.join("../docs/security.md")).unwrap();
    for (name, _) in EVERYBODY {
        assert!(
            security.contains(&format!("`{name}`")),
            "docs/security.md does not say why {name}"
        );
    }
}
