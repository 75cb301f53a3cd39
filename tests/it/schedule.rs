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
