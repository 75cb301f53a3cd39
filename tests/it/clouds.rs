//! What a tenant or a cloud does not have: the run says so for each collector, unknown stays unknown,
//! and nothing that was known is lost. And Microsoft's limits, kept.

use graph::Limits;
use serde_json::Value;
use sim::World;

use crate::app::{Database, TestApp, licensed, run, secret, text};

fn collector<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut all = run["collectors"].as_array().unwrap().iter();
    all.find(|c| c["name"] == name).unwrap()
}

fn skipped(run: &Value, name: &str, words: &str) {
    let found = collector(run, name);
    assert_eq!(found["state"], "skipped", "{found}");
    assert!(found["reason"].as_str().unwrap().contains(words), "{found}");
}

async fn first(app: &TestApp, name: &str) -> (String, String, Value) {
    let (company, mapping) = app.connected(name).await;
    let run = app
        .settled(&app.newest_run(&mapping, "directory").await)
        .await;
    (company, mapping, run)
}

async fn like(cloud: &str) -> TestApp {
    let world = licensed(World::demo(secret()));
    TestApp::start_in(Database::Sqlite, world, true, Limits::None, Some(cloud)).await
}

#[test]
fn in_china_and_for_the_us_government_what_is_not_there_is_said() {
    run(|| async {
        let app = like("china").await;
        let (_, mapping, run) = first(&app, "Contoso").await;
        assert_eq!(run["state"], "partial", "{run}");
        skipped(&run, "risky_users", "no identity protection");
        skipped(&run, "risk_detections", "no identity protection");
        skipped(&run, "service_principal_activities", "does not report");
        assert_eq!(collector(&run, "users")["state"], "succeeded");
        let score = app
            .settled(&app.newest_run(&mapping, "secure_score").await)
            .await;
        assert_eq!(score["state"], "partial", "{score}");
        skipped(&score, "secure_scores", "no Secure Score");

        let app = like("usgov_l4").await;
        let (_, _, run) = first(&app, "Contoso").await;
        assert_eq!(run["state"], "partial", "{run}");
        skipped(&run, "service_principal_activities", "does not report");
        assert_eq!(collector(&run, "risky_users")["state"], "succeeded");
    });
}

#[test]
fn without_licences_the_reason_stands_where_the_data_would() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, _, run) = first(&app, "Bold").await;
        assert_eq!(run["state"], "partial", "{run}");
        skipped(&run, "mfa_registrations", "P1 or P2");
        skipped(&run, "risky_users", "P1 or P2");
        skipped(&run, "role_eligibilities", "P1 or P2");
        skipped(&run, "managed_devices", "not available");
        skipped(&run, "sign_ins", "P1 or P2");
        let browser = app.browser().await;
        for section in [
            "risky-users",
            "role-eligibilities",
            "managed-devices",
            "sign-ins",
        ] {
            let page = browser
                .page(&format!("/companies/{company}/directory/{section}"))
                .await;
            assert!(
                page.contains("Not known") && page.contains("nothing is concluded"),
                "{section}: {page}"
            );
        }
    });
}

#[test]
fn a_permission_that_is_taken_back_loses_nothing() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, mapping, run) = first(&app, "Contoso").await;
        assert_eq!(run["state"], "completed", "{run}");
        let path = format!("/companies/{company}/directory/devices?total=true");
        let before = app.get(&path).await["total"].clone();
        let client = app.application().client_id;
        let roles: Vec<&str> = app
            .application()
            .roles
            .iter()
            .copied()
            .filter(|r| *r != "Device.Read.All")
            .collect();
        app.sim.set_manifest(client, &roles);
        app.sim.grant(app.directory("Contoso").id, client);
        app.connection.tokens.forget(&graph::Grantee {
            owner: app.partner.0,
            cloud: "custom".into(),
            tenant: app.directory("Contoso").id,
            client_id: client,
        });
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "partial", "{run}");
        skipped(&run, "devices", "Device.Read.All");
        assert_eq!(app.get(&path).await["total"], before);
        let page = app
            .browser()
            .await
            .page(&format!("/companies/{company}/directory/devices"))
            .await;
        assert!(
            page.contains("Device.Read.All was not granted")
                && page.contains("what is shown was read"),
            "{page}"
        );
        // Only what failed is tried again, once it may be read.
        app.sim.set_manifest(client, &app.application().roles);
        app.sim.grant(app.directory("Contoso").id, client);
        app.connection.tokens.forget(&graph::Grantee {
            owner: app.partner.0,
            cloud: "custom".into(),
            tenant: app.directory("Contoso").id,
            client_id: client,
        });
        let (status, again) = app
            .api(
                "POST",
                &format!("/runs/{}/retry", text(&run, "id")),
                Some(serde_json::json!({ "only_failed": true })),
            )
            .await;
        assert_eq!(status, 202, "{again}");
        let again = app.settled(&text(&again, "id")).await;
        let names: Vec<&str> = again["collectors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            (again["state"].as_str(), names),
            (Some("completed"), vec!["devices"])
        );
    });
}

#[test]
fn microsofts_limits_are_kept_so_that_nobody_is_throttled() {
    run(|| async {
        let world = licensed(World::demo(secret()));
        let app = TestApp::start_in(Database::Sqlite, world, true, Limits::Microsoft, None).await;
        app.sim.keep_limits(true);
        let (_, mapping, run) = first(&app, "Fabrikam").await;
        assert_eq!(run["state"], "completed", "{run}");
        app.sync(&mapping, "directory").await;
        app.drain().await;
        assert_eq!(app.sim.throttled(), 0, "{run}");
        let waited: i64 = run["collectors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["waited_ms"].as_i64().unwrap())
            .sum();
        assert!(
            waited > 500,
            "one request a second for conditional access and risk: {waited}"
        );
    });
}

/// What is read waits for its turn to be written, and what asks waits for a limit, which is kept in the
/// same database: neither may keep the other from going on.
#[test]
fn rows_that_wait_and_limits_do_not_hold_each_other_up() {
    run(|| async {
        let world = World::sized(secret(), 2500, 400, 100_000);
        let app = TestApp::start_in(Database::Sqlite, world, true, Limits::Microsoft, None).await;
        let application = app.application();
        let made = app
            .post(
                "/credentials",
                serde_json::json!({
                    "name": "Main", "cloud": "custom", "directory_id": application.home,
                    "client_id": application.client_id, "client_secret": application.secret,
                    "features": [],
                }),
            )
            .await;
        let outcome = "unexpected_permissions";
        let measured = app.directory("Measured").id;
        let tenant = app
            .consent_outcome(&text(&made, "id"), measured, outcome)
            .await;
        let mapped = app
            .post("/mappings", serde_json::json!({ "tenant_id": tenant }))
            .await;
        let id = app.newest_run(&text(&mapped, "id"), "directory").await;
        let run = app.settled(&id).await;
        assert_eq!(collector(&run, "group_members")["read"], 100_000, "{run}");
        assert_eq!(run["attempt"], 1, "{run}");
    });
}
