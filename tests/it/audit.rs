//! The audit log: written once, shown, exported, and every tampering found.

use std::process::Command;

use model::{
    AuditRow, Db, Pool,
    audit::{self, Filter, checkpoint::Checkpoint},
};
use serde_json::json;

use crate::{
    app::{Database, OWNER, PASSWORD, TestApp, run},
    on_both,
    rig::number,
};

pub async fn sql(db: &Db, text: &str) -> Result<u64, String> {
    let text = sqlx::AssertSqlSafe(text.to_owned());
    // As the owner, who may do more than the server.
    match &db.owner_pool() {
        Pool::Sqlite(pool) => sqlx::query(text)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()),
        Pool::Postgres(pool) => sqlx::query(text)
            .execute(pool)
            .await
            .map(|done| done.rows_affected()),
    }
    .map_err(|error| error.to_string())
}

pub async fn count(db: &Db, text: &'static str) -> usize {
    let count: i64 = match &db.owner_pool() {
        Pool::Sqlite(pool) => sqlx::query_scalar(text).fetch_one(pool).await.unwrap(),
        Pool::Postgres(pool) => sqlx::query_scalar(text).fetch_one(pool).await.unwrap(),
    };
    usize::try_from(count).unwrap()
}

async fn all(app: &TestApp) -> Vec<AuditRow> {
    let window = model::Window {
        offset: 0,
        limit: 100_000,
    };
    let mut rows = audit::list(&app.scope(), &Filter::default(), window)
        .await
        .unwrap()
        .rows;
    rows.reverse();
    rows
}

on_both! {
    async fn the_database_refuses_to_change_what_was_written(app) {
        app.post("/companies", json!({ "name": "One" })).await;
        for statement in [
            "UPDATE audit_rows SET actor_name = 'nobody'",
            "UPDATE audit_rows SET hash = hash",
            "DELETE FROM audit_rows",
            "DELETE FROM audit_rows WHERE seq = 1",
        ] {
            let refused = sql(&app.db, statement).await.unwrap_err();
            assert!(refused.contains("written once"), "{statement}: {refused}");
        }
        if app.db.kind() == "postgres" {
            let refused = sql(&app.db, "TRUNCATE audit_rows CASCADE").await.unwrap_err();
            assert!(refused.contains("written once"), "{refused}");
        }
        assert!(audit::verify(&app.db, app.partner, &[]).await.unwrap().is_ok());
    }

    async fn without_its_row_an_action_does_not_happen(app) {
        let refusal = match app.db.kind() {
            "postgres" => "CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
                CREATE TRIGGER disk_full BEFORE INSERT ON audit_rows FOR EACH ROW EXECUTE FUNCTION full()",
            _ => "CREATE TRIGGER disk_full BEFORE INSERT ON audit_rows BEGIN SELECT RAISE(ABORT, 'disk full'); END",
        };
        for statement in refusal.split(";\n") {
            sql(&app.db, statement).await.unwrap();
        }
        for (method, path, body) in [
            ("POST", "/companies", json!({ "name": "Never" })),
            ("POST", "/credentials", json!({
                "name": "Never", "cloud": "custom", "directory_id": app.application().home,
                "client_id": app.application().client_id, "client_secret": "x" })),
        ] {
            let (status, _) = app.api(method, path, Some(body)).await;
            assert_eq!(status, 500, "{path}");
        }
        assert!(app.get("/companies").await["value"].as_array().unwrap().is_empty());
        assert!(app.get("/credentials").await["value"].as_array().unwrap().is_empty());
        let refused = app.stranger().post("/sign-in", &[("email", OWNER), ("password", PASSWORD)]).await;
        assert_eq!(refused.status(), 500, "nobody signs in unseen");
    }

    async fn the_log_is_shown_filtered_and_exported(app) {
        app.post("/companies", json!({ "name": "=cmd|' /C calc'!A0" })).await;
        app.post("/companies", json!({ "name": "Second" })).await;
        let browser = app.browser().await;
        let page = browser.page("/settings/audit").await;
        assert!(page.contains("company.create") && page.contains("session.begin"), "{page}");
        let page = browser.page("/settings/audit?action=company.create&target=Second").await;
        assert!(page.contains("Second") && !page.contains("<code>session.begin</code>"), "{page}");
        let page = browser.page("/settings/audit?actor=nobody-of-this-name").await;
        assert!(page.contains("No row matches"));
        let csv = browser.page("/settings/audit.csv?action=company").await;
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 3, "{csv}");
        assert!(lines[2].contains("'=cmd"), "a formula is text: {csv}");
        // The whole log, as a stranger would verify it: each line's hash is the next line's last.
        let text = browser.page("/settings/audit.ndjson").await;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.reverse();
        let mut before = String::new();
        for line in &lines {
            let row: Vec<serde_json::Value> = serde_json::from_str(line).unwrap();
            assert_eq!(row.last().unwrap(), &before);
            before = keys::fingerprint(line);
        }
        assert_eq!(before, all(&app).await.last().unwrap().hash);
        // Who may not.
        let hash = portal::hash_password(PASSWORD, &[]).await.unwrap();
        for (email, role, status) in [("v@halden.example", model::Role::Viewer, 403), ("a@halden.example", model::Role::Auditor, 200)] {
            model::member::create(&app.scope(), email, &hash, role).await.unwrap();
            let browser = app.stranger();
            browser.post("/sign-in", &[("email", email), ("password", PASSWORD)]).await;
            assert_eq!(browser.get("/settings/audit").await.status(), status, "{email}");
        }
    }

    async fn a_cut_off_or_rewritten_log_is_found_by_checkpoints(app) {
        for name in ["One", "Two", "Three"] {
            app.post("/companies", json!({ "name": name })).await;
        }
        app.advance_minutes(6);
        let path = app.directory.path().join("checkpoints");
        let mut checkpoints: Vec<Checkpoint> = vec![];
        for _ in 0..200 {
            if let Ok(text) = std::fs::read_to_string(&path) {
                checkpoints = audit::checkpoint::parse(&text).unwrap();
            }
            let end = all(&app).await.len() as i64;
            if checkpoints.iter().any(|c| c.seq == end) {
                break;
            }
            app.advance_minutes(6);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let last = checkpoints.last().expect("a checkpoint was taken elsewhere").clone();
        let keys = audit::checkpoint::public_keys(&app.db).await.unwrap();
        assert!(checkpoints.iter().all(|c| c.is_signed_by(&keys[0].1)));
        let mut forged = last.clone();
        forged.seq += 1;
        assert!(!forged.is_signed_by(&keys[0].1));
        assert!(audit::verify(&app.db, app.partner, &checkpoints).await.unwrap().is_ok());
        // Two that disagree about one row: the log was written anew between them, whichever came last.
        let mut two = checkpoints.clone();
        two.insert(0, Checkpoint { head: "another".into(), ..last.clone() });
        assert!(audit::verify(&app.db, app.partner, &two).await.unwrap().is_err());
        // Whoever owns the database cuts the end off, and mends the recorded end.
        unguard(&app.db).await;
        let rows = all(&app).await;
        let kept = rows[rows.len() - 3].clone();
        sql(&app.db, &format!("DELETE FROM audit_rows WHERE seq > {}", kept.seq)).await.unwrap();
        sql(&app.db, &format!("UPDATE partners SET audit_seq = {}, audit_head = '{}'", kept.seq, kept.hash)).await.unwrap();
        assert!(audit::verify(&app.db, app.partner, &[]).await.unwrap().is_ok(), "the chain alone sees nothing");
        let found = audit::verify(&app.db, app.partner, &checkpoints).await.unwrap().unwrap_err();
        assert!(found.why.contains("cut off"), "{found:?}");
        // Or writes all of it anew, without the key that signs.
        let mut previous = String::new();
        let mut head = (0, String::new());
        for row in rows {
            let mut row = AuditRow { actor_name: "somebody else".into(), previous_hash: previous.clone(), ..row };
            row.hash = keys::fingerprint(&audit::canonical(&row));
            previous = row.hash.clone();
            head = (row.seq, row.hash.clone());
            put(&app.db, &row, row.seq <= kept.seq).await;
        }
        sql(&app.db, &format!("UPDATE partners SET audit_seq = {}, audit_head = '{}'", head.0, head.1)).await.unwrap();
        assert!(audit::verify(&app.db, app.partner, &[]).await.unwrap().is_ok(), "the chain alone sees nothing");
        let found = audit::verify(&app.db, app.partner, &checkpoints).await.unwrap().unwrap_err();
        assert!(found.why.contains("rewritten"), "{found:?}");
    }
}

async fn unguard(db: &Db) {
    let statements: &[&str] = match db.kind() {
        "postgres" => &[
            "DROP TRIGGER audit_rows_written_once ON audit_rows",
            "DROP TRIGGER audit_rows_not_emptied ON audit_rows",
        ],
        _ => &[
            "DROP TRIGGER audit_rows_no_UPDATE",
            "DROP TRIGGER audit_rows_no_DELETE",
        ],
    };
    for statement in statements {
        sql(db, statement).await.unwrap();
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Puts a row in the place of the one of its number, or where there is none.
async fn put(db: &Db, row: &AuditRow, exists: bool) {
    if exists {
        sql(
            db,
            &format!("DELETE FROM audit_rows WHERE seq = {}", row.seq),
        )
        .await
        .unwrap();
    }
    let partner = match db.kind() {
        "postgres" => format!("'{}'", row.partner_id),
        _ => format!("X'{}'", row.partner_id.0.simple()),
    };
    let texts = [
        &row.actor_kind,
        &row.actor_id,
        &row.actor_name,
        &row.address,
        &row.action,
        &row.target_kind,
        &row.target_id,
        &row.target_name,
        &row.detail,
        &row.previous_hash,
        &row.hash,
    ];
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    sql(db, &format!(
        "INSERT INTO audit_rows (partner_id, seq, at, actor_kind, actor_id, actor_name, address, action,
            target_kind, target_id, target_name, detail, previous_hash, hash)
         VALUES ({partner}, {}, {}, {})",
        row.seq, row.at.0, texts.join(", ")
    )).await.unwrap();
}

/// Tampers with a short log in so many random ways; each is found, and a clean log is clean.
#[test]
fn every_tampering_is_found() {
    run(|| async {
        let app = TestApp::start_with(
            Database::Sqlite,
            crate::app::licensed(sim::World::demo(crate::app::secret())),
            false,
        )
        .await;
        for n in 0..12 {
            app.post("/companies", json!({ "name": format!("Company {n}") }))
                .await;
        }
        unguard(&app.db).await;
        sql(&app.db, "PRAGMA synchronous = OFF").await.unwrap();
        let rows = all(&app).await;
        let columns = [
            "at",
            "actor_kind",
            "actor_id",
            "actor_name",
            "address",
            "action",
            "target_kind",
            "target_id",
            "target_name",
            "detail",
            "previous_hash",
            "hash",
        ];
        let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
        let total = number("TENANTRY_TAMPERS", 300);
        for _ in 0..total {
            let bytes = keys::random_bytes::<4>().unwrap();
            let row = &rows[usize::from(bytes[0]) % rows.len()];
            let other = &rows[usize::from(bytes[1]) % rows.len()];
            let kind = match bytes[2] % 5 {
                0..=1 => {
                    let column = columns[usize::from(bytes[3]) % columns.len()];
                    let value = match column {
                        "at" => "at + 1".to_owned(),
                        other => format!("{other} || 'x'"),
                    };
                    sql(
                        &app.db,
                        &format!(
                            "UPDATE audit_rows SET {column} = {value} WHERE seq = {}",
                            row.seq
                        ),
                    )
                    .await
                    .unwrap();
                    "edited"
                }
                2 => {
                    sql(
                        &app.db,
                        &format!("DELETE FROM audit_rows WHERE seq = {}", row.seq),
                    )
                    .await
                    .unwrap();
                    "deleted"
                }
                3 if row.seq != other.seq => {
                    // Two change places.
                    put(
                        &app.db,
                        &AuditRow {
                            seq: row.seq,
                            ..other.clone()
                        },
                        true,
                    )
                    .await;
                    put(
                        &app.db,
                        &AuditRow {
                            seq: other.seq,
                            ..row.clone()
                        },
                        true,
                    )
                    .await;
                    "swapped"
                }
                _ => {
                    // One more at either end, right in itself.
                    let seq = if bytes[3].is_multiple_of(2) {
                        rows.len() as i64 + 1
                    } else {
                        0
                    };
                    let mut more = AuditRow {
                        seq,
                        previous_hash: rows[rows.len() - 1].hash.clone(),
                        ..row.clone()
                    };
                    more.hash = keys::fingerprint(&audit::canonical(&more));
                    put(&app.db, &more, false).await;
                    "inserted"
                }
            };
            let found = audit::verify(&app.db, app.partner, &[]).await.unwrap();
            assert!(found.is_err(), "{kind} at {}", row.seq);
            *kinds.entry(kind).or_default() += 1;
            sql(
                &app.db,
                &format!(
                    "DELETE FROM audit_rows WHERE seq < 1 OR seq > {}",
                    rows.len()
                ),
            )
            .await
            .unwrap();
            put(&app.db, row, true).await;
            put(&app.db, other, true).await;
            assert!(
                audit::verify(&app.db, app.partner, &[])
                    .await
                    .unwrap()
                    .is_ok(),
                "a false alarm after {kind}"
            );
        }
        println!("B13: {total} tamperings ({kinds:?}), all found, no false alarm");
    });
}

/// The command line says the same, and a verifier that is not ours does as well.
#[test]
fn the_command_line_verifies() {
    run(|| async {
        let world = crate::app::licensed(sim::World::demo(crate::app::secret()));
        let app = TestApp::start_with(Database::Sqlite, world, false).await;
        app.post("/companies", json!({ "name": "One" })).await;
        let binary = crate::rig::binary();
        let verify = || {
            Command::new(&binary)
                .args(["audit", "verify", "--data-dir"])
                .arg(app.directory.path())
                .arg("--database-url")
                .arg(format!(
                    "sqlite:{}",
                    app.directory.path().join("t.db").display()
                ))
                .output()
                .unwrap()
        };
        let clean = verify();
        assert!(clean.status.success(), "{clean:?}");
        assert!(String::from_utf8_lossy(&clean.stdout).contains("unbroken"));
        let file = rusqlite::Connection::open(app.directory.path().join("t.db")).unwrap();
        file.execute_batch(
            "DROP TRIGGER audit_rows_no_UPDATE; UPDATE audit_rows SET action = 'x' WHERE seq = 2",
        )
        .unwrap();
        drop(file);
        let broken = verify();
        assert!(!broken.status.success());
        assert!(
            String::from_utf8_lossy(&broken.stdout).contains("row 2: its content was changed"),
            "{broken:?}"
        );
    });
}

/// A million rows are verified within a minute.
#[test]
#[ignore = "a minute: ./scripts/assure B13"]
fn a_million_rows_are_verified_within_a_minute() {
    run(|| async {
        let app = TestApp::start_with(
            Database::Sqlite,
            crate::app::licensed(sim::World::demo(crate::app::secret())),
            false,
        )
        .await;
        app.post("/companies", json!({ "name": "One" })).await;
        let mut row = all(&app).await.pop().unwrap();
        let first = row.seq;
        let path = app.directory.path().join("t.db");
        let mut file = rusqlite::Connection::open(&path).unwrap();
        let tx = file.transaction().unwrap();
        let rows = number("TENANTRY_AUDIT_ROWS", 1_000_000) as i64;
        for seq in first + 1..=rows {
            row.seq = seq;
            row.previous_hash = row.hash.clone();
            row.hash = keys::fingerprint(&audit::canonical(&row));
            tx.execute(
                "INSERT INTO audit_rows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                rusqlite::params![
                    row.partner_id.0.as_bytes(), row.seq, row.at.0, row.actor_kind, row.actor_id, row.actor_name,
                    row.address, row.action, row.target_kind, row.target_id, row.target_name, row.detail,
                    row.previous_hash, row.hash
                ],
            )
            .unwrap();
        }
        tx.execute(
            "UPDATE partners SET audit_seq = ?1, audit_head = ?2",
            rusqlite::params![row.seq, row.hash],
        )
        .unwrap();
        tx.commit().unwrap();
        drop(file);
        let db = Db::connect(
            &format!("sqlite:{}", path.display()),
            model::Clock::system(),
        )
        .await
        .unwrap();
        let began = std::time::Instant::now();
        let found = audit::verify(&db, app.partner, &[]).await.unwrap();
        let took = began.elapsed().as_secs_f64();
        assert_eq!(found, Ok(rows));
        println!("B13: {rows} rows verified in {took:.1} s, by a build without optimisation");
        assert!(took <= 60.0, "{took}");
    });
}
