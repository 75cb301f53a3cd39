//! kill -9 in the middle of a sync, then start: the run completes by itself and the tables are those
//! of an undisturbed run. The real binary, SQLite, a simulated cloud that is slow enough to be killed
//! in. Row B25: `./scripts/assure B25` does it two hundred times.

use std::time::{Duration, Instant};

use sim::{Fault, Kind, World};

use crate::{
    app::{Database, TestApp, run},
    rig::{Chance, Installation, Synced, is_over, number, short},
};

/// What one run's audit rows and timeline must say: each attempt began, and how each ended.
fn is_audited(rig: &Installation, id: &str, attempts: usize) {
    let count = |action: &str| {
        let sql = format!(
            "SELECT CAST(COUNT(*) AS text) FROM audit_rows WHERE action = '{action}' AND target_id = '{id}'"
        );
        rig.sql(&sql)[0].parse::<usize>().unwrap()
    };
    assert_eq!(
        (count("run.start"), count("run.end")),
        (attempts, attempts),
        "run {id}"
    );
}

#[test]
fn kill_9_amid_a_sync_changes_nothing_in_the_end() {
    killed(number("TENANTRY_KILLS", 2), 5000);
}

#[test]
#[ignore = "many minutes: ./scripts/assure B25"]
fn kill_9_two_hundred_times() {
    killed(number("TENANTRY_KILLS", 200), 10_000);
}

/// So many kills, up to four in each run (the fifth attempt is the last).
fn killed(kills: usize, users: usize) {
    run(|| async move {
        let world = World::sized("secret-of-the-rig".into(), users, 100, users);
        let app = TestApp::start_with(Database::Sqlite, crate::app::licensed(world), false).await;
        let rig = Installation::new(&app, None);
        let mut process = rig.serve(&[]);
        let Synced {
            mapping,
            took: usual,
            dump: undisturbed,
        } = rig.synced(&app, "Measured", users).await;
        let mut chance = Chance::new(25);
        let (mut done, mut runs, mut slowest) = (0, 0, Duration::ZERO);
        while done < kills {
            if users < 10_000 {
                // The short version meets the middle for certain.
                app.sim
                    .fail_next(Fault::always("/v1.0/users?", Kind::Slow { ms: 250 }));
            }
            let id = rig.reconcile(&mapping).await;
            let path = format!("/runs/{id}");
            let mut attempts = 1;
            for _ in 0..4.min(kills - done) {
                let seen = rig
                    .until(&path, |v| {
                        v["attempt"] == attempts && v["state"] != "queued" || is_over(v)
                    })
                    .await;
                if is_over(&seen) {
                    break;
                }
                let most = u64::try_from(usual.as_millis()).unwrap();
                tokio::time::sleep(Duration::from_millis(chance.below(most))).await;
                let killed_at = Instant::now();
                process.kill();
                done += 1;
                process = rig.serve(&[]);
                let seen = rig
                    .until(&path, |v| v["attempt"] == attempts + 1 || is_over(v))
                    .await;
                // Killed after its end: there is nothing to resume.
                if seen["attempt"] == attempts {
                    break;
                }
                slowest = slowest.max(killed_at.elapsed());
                attempts += 1;
            }
            rig.until(&path, is_over).await;
            runs += 1;
            app.sim.clear_faults();
            is_audited(&rig, &id, attempts);
            let dump = rig.dump();
            assert!(
                dump == undisturbed,
                "after {done} kills the tables differ: {} instead of {}",
                short(&dump),
                short(&undisturbed)
            );
        }
        println!(
            "B25: {done} kills in {runs} runs of {users} users: every dump {} (as undisturbed), slowest to resume {:.1} s, usual length {:.1} s",
            short(&undisturbed),
            slowest.as_secs_f64(),
            usual.as_secs_f64()
        );
        // The bar; with all other tests beside it, a second more.
        let bar = if users < 10_000 { 6 } else { 5 };
        assert!(slowest < Duration::from_secs(bar), "{slowest:?}");
    });
}
