//! The daily plan, and what happens to runs whose worker dies.

use model::{RunKind, run};

use crate::on_both;

on_both! {
    async fn each_mapping_is_synced_once_a_day(app) {
        let (_, mapping) = app.connected("Contoso").await;
        let (_, other) = app.connected("Bold").await;
        app.drain().await;
        // Several planners at once, many times: one run per mapping, kind and slot.
        for _ in 0..2 {
            app.advance_minutes(24 * 60);
            for _ in 0..3 {
                let (a, b) = tokio::join!(run::plan(&app.db), run::plan(&app.db));
                a.unwrap();
                b.unwrap();
            }
            app.drain().await;
        }
        for id in [&mapping, &other] {
            for kind in ["directory", "secure_score"] {
                let runs = app.get(&format!("/runs?mapping_id={id}&kind={kind}")).await;
                let scheduled = runs["value"].as_array().unwrap().iter()
                    .filter(|r| r["cause"] == "schedule").count();
                assert_eq!(scheduled, 2, "{kind} of {id}: {runs}");
            }
        }
    }

    async fn what_a_fast_clock_plans_is_claimed_by_a_right_one_at_once(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        // Ten minutes ahead, a machine plans what is due in five.
        let soon = run::upcoming(&app.scope(), None, Some(RunKind::Directory), model::Window::page(1, 1)).await.unwrap();
        let wait = soon.rows[0].at.0 - app.clock.now().0;
        app.advance_minutes(wait / 60_000 - 5);
        let ahead = app.db.with_clock(app.clock.wrong_by_ms(10 * 60_000));
        assert!(run::plan(&ahead).await.unwrap() >= 1);
        let run = app.newest_run(&mapping, "directory").await;
        // A delivery that is refused is given up for lost after a minute; nobody waits for that.
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), app.settled(&run)).await;
        let ended = ended.expect("it is not claimed");
        assert_eq!(ended["cause"], "schedule", "{ended}");
        assert_eq!(ended["state"], "completed", "{ended}");
    }

    async fn a_pass_over_sign_in_activity_that_was_asked_for_serves_the_plan(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        // A day later it is due, and somebody asks for it before the plan does.
        app.advance_minutes(24 * 60 + 1);
        let asked = app.sync(&mapping, "sign_in_activity").await;
        assert_eq!(asked["state"], "completed", "{asked}");
        let count = async || app.all(&format!("/runs?mapping_id={mapping}&kind=sign_in_activity")).await.len();
        let before = count().await;
        for (minutes, more) in [(0, 0), (60, 0), (24 * 60, 1)] {
            app.advance_minutes(minutes);
            run::plan(&app.db).await.unwrap();
            app.drain().await;
            assert_eq!(count().await, before + more, "{minutes} minutes later");
        }
    }

    async fn a_mapping_has_an_interval_of_its_own(app) {
        let (_, fast) = app.connected("Contoso").await;
        let (_, slow) = app.connected("Bold").await;
        app.drain().await;
        let path = format!("/mappings/{fast}");
        let (status, problem) = app.api("PATCH", &path, Some(serde_json::json!({ "sync_interval_minutes": 7 }))).await;
        assert_eq!(status, 422, "{problem}");
        let (status, changed) = app.api("PATCH", &path, Some(serde_json::json!({ "sync_interval_minutes": 60 }))).await;
        assert_eq!((status.as_u16(), changed["sync_interval_minutes"].as_i64()), (200, Some(60)), "{changed}");
        let count = async |mapping: &str| {
            run::plan(&app.db).await.unwrap();
            app.drain().await;
            app.all(&format!("/runs?mapping_id={mapping}&kind=directory")).await.len()
        };
        let before = (count(&fast).await, count(&slow).await);
        for _ in 0..3 {
            app.advance_minutes(60);
            count(&fast).await;
        }
        assert_eq!(count(&fast).await, before.0 + 3, "once an hour");
        assert!(count(&slow).await <= before.1 + 1, "once a day at most");
        // Back to the credential's, in the browser.
        let browser = app.browser().await;
        let page = format!("/settings/integrations/entra/mappings/{fast}");
        assert!(browser.page(&format!("{page}/remap")).await.contains("<option value=\"60\" selected>"));
        assert_eq!(browser.post(&format!("{page}/interval"), &[("minutes", "")]).await.status(), 303);
        assert_eq!(app.get(&path).await["sync_interval_minutes"], serde_json::Value::Null);
        app.advance_minutes(60);
        assert!(count(&fast).await <= before.0 + 4);
    }

    async fn what_is_scheduled_is_listed_and_begins_when_it_says(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.connected("Bold").await;
        app.drain().await;
        let path = format!("/scheduled-runs?company_id={company}&kind=directory");
        let listed = app.get(&path).await;
        assert_eq!(listed["value"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["value"][0]["mapping_id"], *mapping);
        let at = |listed: &serde_json::Value| {
            let text = listed["value"][0]["starts_at"].as_str().unwrap().to_owned();
            chrono::DateTime::parse_from_rfc3339(&text).unwrap().timestamp_millis()
        };
        let starts = at(&listed);
        let wait = starts - app.db.clock().now().0;
        assert!((0..=24 * 60 * 60_000).contains(&wait), "{wait}");
        let browser = app.browser().await;
        let page = browser.page("/jobs?state=scheduled").await;
        assert!(page.contains("Contoso") && page.contains("Bold") && page.contains("Scheduled"), "{page}");
        let planned = async || {
            run::plan(&app.db).await.unwrap();
            let found = app.get(&format!("/runs?mapping_id={mapping}&kind=directory")).await;
            let all = found["value"].as_array().unwrap().clone();
            all.iter().filter(|run| run["cause"] == "schedule").count()
        };
        app.advance_minutes(wait / 60_000 - 1);
        assert_eq!(planned().await, 0, "before its time");
        app.advance_minutes(3);
        assert_eq!(planned().await, 1);
        app.drain().await;
        assert_eq!(at(&app.get(&path).await), starts + 24 * 60 * 60_000, "the next one is a day later");
    }

    async fn a_worker_faster_than_the_hand_over_is_no_reason_to_wait(app) {
        let mut app = app;
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.stop_worker().await;
        let mapping: model::MappingId = mapping.parse().unwrap();
        let scope = app.scope();
        let ask = |cause| {
            run::request(&scope, run::Of::Mapping(mapping), &[RunKind::Directory], cause)
        };
        let id = ask(model::RunCause::Schedule).await.unwrap().unwrap()[0].id;
        let is_due = async || run::due(&app.db).await.unwrap().iter().any(|due| due.run == id);
        // Handed over, claimed and given back, all before the hand-over was noted.
        let due = run::due(&app.db).await.unwrap();
        let lease = run::claim(&app.db, app.partner, id, "fast", 60_000).await.unwrap().unwrap();
        let failure = run::Failure { code: None, error: "The key service is away.".into(), remedy: None };
        lease.give_back(app.db.clock().now(), &failure).await.unwrap();
        run::mark_pushed(&app.db, &due).await.unwrap();
        assert!(is_due().await, "it waits for a hand-over that was used up");
        let due = run::due(&app.db).await.unwrap();
        run::mark_pushed(&app.db, &due).await.unwrap();
        assert!(!is_due().await, "handed over");
    }

    async fn a_worker_that_was_taken_for_dead_writes_nothing(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let mapping: model::MappingId = mapping.parse().unwrap();
        // A worker that claims and dies, in a race with the app's own, which ends the run when it wins.
        let scope = app.scope();
        let asked = run::request(&scope, run::Of::Mapping(mapping), &[RunKind::Directory], model::RunCause::Manual)
            .await.unwrap().unwrap();
        let id = asked[0].id;
        let mut claims = 0;
        for _ in 0..200 {
            if let Some(lease) = run::claim(&app.db, app.partner, id, "dies", 1).await.unwrap() {
                claims += 1;
                // The dead worker's writes must not go through once another has the run.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                run::sweep(&app.db).await.unwrap();
                assert!(model::inventory::Stage::begin(lease.clone()).await.is_err(), "a ghost writes");
                assert!(lease.settle(model::RunState::Completed, None).await.is_err());
            } else {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let state = run::get(&scope, id).await.unwrap().unwrap().state;
            if !state.is_open() { break; }
        }
        let ended = run::get(&scope, id).await.unwrap().unwrap();
        assert!(claims >= 1);
        assert!(matches!(ended.state, model::RunState::Failed | model::RunState::Completed), "{ended:?}");
        assert!(ended.attempt <= run::MAX_ATTEMPTS);
    }
}

#[test]
fn five_deaths_park_a_run() {
    crate::app::run(|| async {
        let app = crate::app::TestApp::start_with(
            crate::app::Database::Sqlite,
            sim::World::demo(crate::app::secret()),
            false,
        )
        .await;
        let (_, mapping) = app.connected("Contoso").await;
        let id: model::RunId = app.newest_run(&mapping, "directory").await.parse().unwrap();
        for attempt in 1..=run::MAX_ATTEMPTS {
            let lease = run::claim(&app.db, app.partner, id, "dies", 1)
                .await
                .unwrap();
            assert_eq!(lease.unwrap().run.attempt, attempt);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            assert_eq!(run::sweep(&app.db).await.unwrap(), 1);
        }
        assert!(
            run::claim(&app.db, app.partner, id, "late", 1)
                .await
                .unwrap()
                .is_none()
        );
        let ended = app.get(&format!("/runs/{id}")).await;
        assert_eq!(ended["state"], "failed", "{ended}");
        assert!(ended["error"].as_str().unwrap().contains("five times"));
    });
}
