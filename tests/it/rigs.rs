//! The long rows of the bar for reliability, each by `./scripts/assure ROW`. What they do in small
//! runs with every test.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sim::{Fault, Kind, Weather, World};

use crate::{
    app::{Database, TestApp, fresh_database, licensed, postgres_server, run, text},
    rig::{Chance, Installation, Synced, file, is_over, number, output, short},
};

fn requests(run: &Value) -> i64 {
    let collectors = run["collectors"].as_array().unwrap();
    collectors
        .iter()
        .map(|c| c["requests"].as_i64().unwrap())
        .sum()
}

/// A cluster of this rig's own, which it may crash.
struct Cluster(tempfile::TempDir);

impl Cluster {
    fn start() -> (Self, String) {
        let folder = tempfile::tempdir().unwrap();
        let this = Self(folder);
        let printed = this.script("start", &["durable"]);
        let server = printed.split_once('=').unwrap().1.trim().to_owned();
        (this, server)
    }

    fn script(&self, action: &str, more: &[&str]) -> String {
        // PostgreSQL's own user must reach the folder inside.
        let folder = self.0.path().join("cluster");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.0.path(), mode).unwrap();
        let mut command = Command::new(file("scripts/postgres"));
        output(command.arg(action).arg(folder).args(more))
    }

    fn crash(&self) {
        self.script("crash", &[]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("stop", &[]);
    }
}

#[test]
#[ignore = "minutes: ./scripts/assure B26"]
fn a_database_that_crashes_loses_no_run() {
    run(|| async {
        let crashes = number("TENANTRY_CRASHES", 20);
        let users = number("TENANTRY_USERS", 10_000);
        let world = World::sized("secret-of-the-rig".into(), users, 100, users);
        let app = TestApp::start_with(Database::Sqlite, licensed(world), false).await;
        let (cluster, server) = Cluster::start();
        let rig = Installation::new(&app, Some(fresh_database(&server).await));
        let _server = rig.serve(&["--no-worker"]);
        let _workers = [rig.work(&[]), rig.work(&[])];
        let Synced {
            mapping,
            took: usual,
            dump: undisturbed,
        } = rig.synced(&app, "Measured", users).await;
        let mut chance = Chance::new(26);
        let (mut done, mut runs, mut most) = (0, 0, 1);
        while done < crashes {
            let path = format!("/runs/{}", rig.reconcile(&mapping).await);
            let ended = loop {
                let most = u64::try_from(usual.as_millis()).unwrap();
                tokio::time::sleep(Duration::from_millis(chance.below(most))).await;
                let seen = rig.insist("GET", &path, None).await;
                if is_over(&seen) {
                    break seen;
                }
                assert_ne!(seen["state"], "failed", "{seen}\n{}", rig.log());
                if done < crashes {
                    cluster.crash();
                    done += 1;
                }
            };
            most = most.max(ended["attempt"].as_i64().unwrap());
            runs += 1;
            let dump = rig.dump();
            assert!(
                dump == undisturbed,
                "after {done} crashes the tables differ"
            );
        }
        println!(
            "B26: {done} crashes of the database in {runs} runs of {users} users by two workers: every dump {} (as undisturbed), at most {most} attempts counted, nothing done by hand",
            short(&undisturbed)
        );
    });
}

#[test]
#[ignore = "a minute: ./scripts/assure B27"]
fn every_fault_of_graph_at_once_ends_equal() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        // The world's "last seen" follows the day, and the time that retries need must not reach the
        // next one.
        let today = app.db.clock().now().0.rem_euclid(24 * 60 * 60_000);
        app.advance_minutes(24 * 60 - today / 60_000 + 10);
        let (_, mapping) = app.connected("Fabrikam").await;
        app.drain().await;
        let id = app.newest_run(&mapping, "directory").await;
        let calm = app.get(&format!("/runs/{id}")).await;
        // Of all whole reads together: in one, chance alone may strike more than half of the calls.
        let (mut undercut, mut calls, mut ideals) = (0, 0, 0);
        for seed in 1..=number("TENANTRY_SEEDS", 8) as u64 {
            app.sim.weather(Weather {
                seed,
                throttle: 0.30,
                absurd: 0.0,
                server_error: 0.05,
                reset: 0.05,
                slow: 0.02,
                half_body: 0.05,
                html: 0.03,
                repeat: 0.05,
                // Each call goes wrong once at most, so that calls can be compared with the ideal.
                once: true,
            });
            // The token ends, and Microsoft forgets where changes went on, in the middle of it.
            let expired = Kind::Error {
                status: 401,
                code: "InvalidAuthenticationToken".into(),
            };
            app.sim.fail_next(Fault {
                skip: 1,
                ..Fault::once("/groups", expired)
            });
            app.sim.fail_next(Fault::once("/users/delta", Kind::Gone));
            let before: usize = app.sim.weathered().values().sum();
            let reconcile = seed.is_multiple_of(2);
            let ask = json!({ "mapping_id": mapping, "kind": "directory", "reconcile": reconcile });
            let asked = app.post("/runs", ask).await;
            let id = text(&asked["value"][0], "id");
            let mut run = Value::Null;
            for _ in 0..5 {
                run = app
                    .wait_for(&id, |s| !matches!(s, "queued" | "running"))
                    .await;
                if run["state"] != "retrying" {
                    break;
                }
                app.advance_minutes(10);
                app.wait_for(&id, |s| s != "retrying").await;
            }
            assert_eq!(run["state"], "completed", "seed {seed}: {run}");
            let struck = app.sim.weathered().values().sum::<usize>() - before;
            app.sim.clear_faults();
            undercut += app.sim.undercut();
            let after = app.reconcile(&mapping).await;
            for c in after["collectors"].as_array().unwrap() {
                // Time was moved on to try again, and what happened in it is new.
                let is_log = ["sign_ins", "risk_detections", "directory_audits"]
                    .contains(&c["name"].as_str().unwrap());
                assert!(is_log || c["new"] == 0, "seed {seed}: {c}");
                assert_eq!(
                    (&c["changed"], &c["removed"]),
                    (&json!(0), &json!(0)),
                    "seed {seed}: {c}"
                );
            }
            let ideal = if reconcile {
                requests(&after)
            } else {
                requests(&calm)
            };
            println!(
                "  seed {seed}: {} calls with {struck} faults, {ideal} without: {:.2}",
                requests(&run),
                requests(&run) as f64 / ideal as f64
            );
            if reconcile {
                calls += requests(&run);
                ideals += ideal;
            }
        }
        assert_eq!(undercut, 0, "somebody came before the time");
        let ratio = calls as f64 / ideals as f64;
        assert!(ratio <= 1.5, "{ratio}");
        // A wait of a billion seconds is nobody's to sit out: the run is given back.
        app.sim
            .fail_next(Fault::once("/users?", Kind::ThrottleAbsurd));
        let ask = json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true });
        let asked = app.post("/runs", ask).await;
        let id = text(&asked["value"][0], "id");
        let run = app
            .wait_for(&id, |s| !matches!(s, "queued" | "running"))
            .await;
        assert_eq!(run["state"], "retrying", "{run}");
        app.advance_minutes(25 * 60);
        let run = app.settled(&id).await;
        assert_eq!(run["state"], "completed", "{run}");
        println!(
            "B27: every storm ended equal to the calm, {ratio:.2} times its calls, no wait undercut; kinds of faults: {:?}",
            app.sim.weathered()
        );
    });
}

#[test]
#[ignore = "half a minute: ./scripts/assure B28"]
fn a_reader_at_fifty_hertz_sees_the_old_or_the_new() {
    run(|| async {
        let users = number("TENANTRY_USERS", 2_000);
        let world = World::sized("secret-of-the-rig".into(), users, 100, users);
        let app = TestApp::start_with(Database::Sqlite, licensed(world), true).await;
        // Each page takes a while, so that there is something to look at in between.
        app.sim
            .fail_next(Fault::always("/users/delta?", Kind::Slow { ms: 300 }));
        let (company, mapping) = app.connected("Measured").await;
        app.drain().await;
        let directory = app.directory("Measured").id;
        let fresh = format!("/companies/{company}/users?search=Moved&total=true&limit=1");
        let (mut looks, mut mixed, mut halves) = (0, 0, BTreeSet::new());
        let mut expected = 0;
        for round in 0..3 {
            for index in 0..users {
                let name = match round {
                    1 => format!("Back {index}"),
                    _ => format!("Moved {index}"),
                };
                app.sim.rename_user(directory, index, &name);
            }
            let ask = json!({ "mapping_id": mapping, "kind": "directory" });
            let asked = app.post("/runs", ask).await;
            let id = text(&asked["value"][0], "id");
            let old = expected;
            expected = if round == 1 { 0 } else { users };
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                let seen = app.get(&fresh).await["total"].as_u64().unwrap() as usize;
                looks += 1;
                if seen != old && seen != expected {
                    mixed += 1;
                    halves.insert(seen);
                }
                let state = text(&app.get(&format!("/runs/{id}")).await, "state");
                if !matches!(state.as_str(), "queued" | "running") {
                    break;
                }
            }
        }
        assert_eq!(mixed, 0, "{halves:?}");
        assert!(looks > 100, "{looks}");
        println!(
            "B28: {looks} looks at 50 Hz during three syncs of {users} users, 0 of them mixed; a list cut short and a fall of a fifth: sync_faults and changes"
        );
    });
}

#[test]
#[ignore = "two minutes, and libfaketime: ./scripts/assure B29"]
fn a_wrong_clock_doubles_and_skips_nothing() {
    run(|| async {
        let Some(server) = postgres_server() else {
            panic!("TENANTRY_TEST_POSTGRES is not set");
        };
        let library =
            std::env::var("TENANTRY_FAKETIME").expect("TENANTRY_FAKETIME names libfaketimeMT.so");
        let app = TestApp::start(Database::Sqlite).await;
        let rig = Installation::new(&app, Some(fresh_database(&server).await));
        let _server = rig.serve(&["--no-worker"]);
        let credential = rig.credential(&app).await;
        for name in ["Contoso", "Bold", "Fabrikam"] {
            rig.connect(&credential, app.directory(name).id).await;
        }
        // From here on a day takes a minute. It passes into the leap day of 2028, and then over
        // the night in which Berlin's clocks go forward.
        let days = number("TENANTRY_DAYS", 2);
        let (mut cases, mut slots) = (0, 0);
        for (start, zone) in [
            ("2028-02-27 12:00:00", "UTC"),
            ("2028-03-24 12:00:00", "Europe/Berlin"),
        ] {
            for (skew, other) in [("+10 min", 600_i64), ("-1 h", -3600)] {
                rig.sql("DELETE FROM run_collectors");
                rig.sql("DELETE FROM run_events");
                rig.sql("DELETE FROM runs");
                rig.sql(
                    "UPDATE mappings SET planned_directory = NULL, planned_secure_score = NULL",
                );
                let at = |offset: i64| {
                    let start =
                        chrono::NaiveDateTime::parse_from_str(start, "%Y-%m-%d %H:%M:%S").unwrap();
                    let moved = start + chrono::Duration::seconds(offset);
                    format!("@{} x1440", moved.format("%Y-%m-%d %H:%M:%S"))
                };
                let worker = |offset: i64| {
                    rig.work(&[
                        ("LD_PRELOAD", library.as_str()),
                        ("FAKETIME", at(offset).as_str()),
                        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                        ("DONT_FAKE_MONOTONIC", "1"),
                        ("TZ", zone),
                    ])
                };
                // The right clock first: what both would plan at the very beginning says nothing.
                let right = worker(0);
                tokio::time::sleep(Duration::from_secs(5)).await;
                let workers = [right, worker(other + 5 * 1440)];
                tokio::time::sleep(Duration::from_secs(60 * days as u64 + 10)).await;
                for worker in workers {
                    worker.kill();
                }
                for kind in ["directory", "secure_score"] {
                    // Of each mapping: the number of its runs, of its slots, and the span of these.
                    let found = rig.sql(&format!(
                        "SELECT COUNT(*) || ' ' || COUNT(DISTINCT slot) || ' ' || (MAX(slot) - MIN(slot) + 1)
                            || ' ' || SUM(CASE WHEN attempt <= 1 THEN 0 ELSE 1 END)
                         FROM runs WHERE kind = '{kind}' AND slot IS NOT NULL GROUP BY mapping_id"
                    ));
                    assert_eq!(found.len(), 3, "{found:?}\n{}", rig.log());
                    for line in found {
                        let numbers: Vec<i64> =
                            line.split(' ').map(|n| n.parse().unwrap()).collect();
                        let [runs, distinct, span, again] = numbers[..] else {
                            panic!("{line}")
                        };
                        assert_eq!(
                            (runs, runs),
                            (distinct, span),
                            "{kind} with {skew} from {start}: {line}"
                        );
                        assert!(
                            runs >= days as i64,
                            "{kind} with {skew} from {start}: {line}"
                        );
                        assert_eq!(again, 0, "a run was worked on twice: {line}");
                        slots += runs;
                    }
                }
                // Whoever's clock is wrong writes no object twice.
                rig.dump();
                cases += 1;
            }
        }
        println!(
            "B29: {cases} cases (+10 min and -1 h, over a leap day and over a change to summer time): {slots} slots, each run once, none skipped"
        );
    });
}

#[test]
#[ignore = "a minute: ./scripts/assure B30"]
fn a_crowd_gets_one_run_and_one_bad_tenant_holds_up_nobody() {
    run(|| async {
        let tenants = number("TENANTRY_TENANTS", 200);
        let world = World::many("secret-of-the-rig".into(), tenants, 20);
        let app = TestApp::start_with(Database::Sqlite, licensed(world), true).await;
        let credential = app.credential().await;
        let mut mappings = Vec::new();
        let directories: Vec<_> = app
            .sim
            .world()
            .directories
            .iter()
            .filter(|d| d.name.starts_with("Customer "))
            .map(|d| d.id)
            .collect();
        let stuck = directories[0];
        // Its token is given, but every question is answered "later", for ever.
        let mut tenants_of = Vec::new();
        for directory in directories {
            tenants_of.push(app.consent(&credential, directory).await);
        }
        app.sim.throttle(stuck);
        for tenant in tenants_of {
            let mapping = app.post("/mappings", json!({ "tenant_id": tenant })).await;
            mappings.push(text(&mapping, "id"));
        }
        app.drain().await;
        // A hundred people and the plan at once.
        let many = (0..100).map(|_| {
            app.post(
                "/runs",
                json!({ "mapping_id": mappings[1], "kind": "directory" }),
            )
        });
        let (answers, planned) = tokio::join!(
            futures_util::future::join_all(many),
            model::run::plan(&app.db)
        );
        planned.unwrap();
        let ids: BTreeSet<String> = answers.iter().map(|a| text(&a["value"][0], "id")).collect();
        app.drain().await;
        assert!(ids.len() <= 2, "one after another at most: {ids:?}");
        // A day passes; everybody is planned once.
        let began = Instant::now();
        app.advance_minutes(24 * 60);
        model::run::plan(&app.db).await.unwrap();
        let parked = format!(
            "/runs?mapping_id={}&kind=directory&state=failed&limit=1",
            mappings[0]
        );
        let mut last = Value::Null;
        for _ in 0..60 {
            app.drain().await;
            // Whoever is to be tried again waits for the scheduler to look.
            tokio::time::sleep(Duration::from_millis(300)).await;
            last = app.get(&parked).await["value"][0].clone();
            if !last.is_null() {
                break;
            }
            app.advance_minutes(10);
        }
        let mut fresh = 0;
        for mapping in &mappings[1..] {
            let path = format!("/runs?mapping_id={mapping}&kind=directory&limit=5");
            let runs = app.get(&path).await;
            let mut had = runs["value"].as_array().unwrap().iter();
            fresh += usize::from(had.any(|r| r["cause"] == "schedule" && is_over(r)));
        }
        assert_eq!(
            (&last["state"], &last["attempt"]),
            (&json!("failed"), &json!(5)),
            "{last}"
        );
        println!(
            "B30: 100 people and the plan at once: {} run(s); one tenant throttled for ever was parked after attempt {}; {fresh} of {} others had their daily run, in {:.0} s",
            ids.len(),
            last["attempt"],
            tenants - 1,
            began.elapsed().as_secs_f64()
        );
        assert_eq!(fresh, tenants - 1);
    });
}

#[test]
#[ignore = "a minute: ./scripts/assure B30"]
fn a_run_that_kills_its_worker_is_parked_after_five_attempts() {
    run(|| async {
        let world = World::many("secret-of-the-rig".into(), 5, 20);
        let app = TestApp::start_with(Database::Sqlite, licensed(world), false).await;
        let rig = Installation::new(&app, None);
        let mut process = rig.serve(&[]);
        let credential = rig.credential(&app).await;
        // The first one's users take for ever, so that its worker always dies with it.
        let slow = app.directory("Customer 0").id;
        let mapping = rig.connect(&credential, slow).await;
        let path = format!("/runs?mapping_id={mapping}&kind=directory");
        rig.until(&path, |v| is_over(&v["value"][0])).await;
        app.sim
            .fail_next(Fault::always("/users?", Kind::Slow { ms: 60_000 }));
        let path = format!("/runs/{}", rig.reconcile(&mapping).await);
        for attempt in 1..=5 {
            rig.until(&path, |v| {
                v["attempt"] == attempt && v["state"] == "running"
            })
            .await;
            process.kill();
            process = rig.serve(&[]);
        }
        let parked = rig.until(&path, |v| v["state"] == "failed").await;
        app.sim.clear_faults();
        let mut others = 0;
        for name in ["Customer 1", "Customer 2", "Customer 3"] {
            let mapping = rig.connect(&credential, app.directory(name).id).await;
            let path = format!("/runs?mapping_id={mapping}&kind=directory");
            rig.until(&path, |v| is_over(&v["value"][0])).await;
            others += 1;
        }
        println!(
            "B30: a run whose worker died five times is {} ({}); {others} others were synced after it",
            text(&parked, "state"),
            text(&parked, "error")
        );
    });
}
