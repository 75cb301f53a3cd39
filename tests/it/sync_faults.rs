//! A Graph that throttles, fails, lies or forbids: nothing is lost and nothing is concluded.

use serde_json::Value;
use sim::{Fault, Kind};

use crate::{app::TestApp, on_both};

fn collector<'a>(run: &'a Value, name: &str) -> &'a Value {
    run["collectors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == name)
        .unwrap()
}

async fn user_count(app: &TestApp, company: &str) -> i64 {
    app.get(&format!("/companies/{company}/users?limit=1&total=true"))
        .await["total"]
        .as_i64()
        .unwrap()
}

/// A sync that meets a fault of the users page: the users of yesterday must all stand afterwards.
async fn users_survive(app: &TestApp, name: &str, fault: Fault) -> Value {
    let (company, mapping) = app.connected(name).await;
    app.drain().await;
    let before = user_count(app, &company).await;
    assert_eq!(before, i64::try_from(app.directory(name).users).unwrap());
    app.sim.fail_next(fault);
    let asked = app
        .post(
            "/runs",
            serde_json::json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true }),
        )
        .await;
    let id = asked["value"][0]["id"].as_str().unwrap().to_owned();
    let run = app
        .wait_for(&id, |s| !matches!(s, "queued" | "running"))
        .await;
    assert_eq!(
        user_count(app, &company).await,
        before,
        "nobody was removed: {run}"
    );
    assert_eq!(collector(&run, "users")["removed"], 0);
    // The other collectors were not stopped by it.
    assert_eq!(collector(&run, "groups")["state"], "succeeded", "{run}");
    run
}

fn graph_error(status: u16, code: &str) -> Kind {
    Kind::Error {
        status,
        code: code.into(),
    }
}

on_both! {
    async fn throttling_is_obeyed_and_counted(app) {
        let (_, mapping) = app.connected("Thrift").await;
        let run = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(run["state"], "completed", "{run}");
        let throttled: i64 = run["collectors"].as_array().unwrap().iter()
            .map(|c| c["throttled"].as_i64().unwrap()).sum();
        let waited: i64 = run["collectors"].as_array().unwrap().iter()
            .map(|c| c["waited_ms"].as_i64().unwrap()).sum();
        assert!(throttled > 5, "{run}");
        assert!(waited > 900, "{waited} ms");
        assert_eq!(app.sim.undercut(), 0, "nobody came back before the time");
    }

    async fn a_second_page_that_fails_removes_nobody(app) {
        // 5,000 users are six pages: the first is read, the second fails for good.
        let fault = Fault { skip: 1, ..Fault::always("/users?", graph_error(403, "Authorization_RequestDenied")) };
        let run = users_survive(&app, "Tailspin", fault).await;
        assert_eq!(run["state"], "partial", "{run}");
        assert_eq!(collector(&run, "users")["state"], "skipped");
    }

    async fn half_a_page_is_no_page(app) {
        let fault = Fault { skip: 2, ..Fault::always("/users?", Kind::HalfBody) };
        let run = users_survive(&app, "Tailspin", fault).await;
        // It may pass, so the run is tried again later.
        assert_eq!(run["state"], "retrying", "{run}");
        assert_eq!(collector(&run, "users")["state"], "failed");
        app.sim.clear_faults();
        app.advance_minutes(10);
        app.drain().await;
        let id = run["id"].as_str().unwrap();
        assert_eq!(app.settled(id).await["state"], "completed");
    }

    async fn an_outage_that_passes_is_not_noticed(app) {
        let fault = Fault { times: 2, ..Fault::once("/users?", graph_error(500, "InternalServerError")) };
        let run = users_survive(&app, "Contoso", fault).await;
        assert_eq!(run["state"], "completed", "{run}");
        assert!(collector(&run, "users")["requests"].as_i64().unwrap() >= 3, "{run}");
    }

    async fn each_answer_of_graph_has_its_words(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let before = user_count(&app, &company).await;
        for (kind, collector_state, words) in [
            (graph_error(403, "Authorization_RequestDenied"), "skipped", "User.Read.All"),
            (graph_error(404, "Request_ResourceNotFound"), "failed", "does not know"),
            (graph_error(401, "InvalidAuthenticationToken"), "failed", "token"),
            (Kind::LoopingLink, "failed", "do not end"),
        ] {
            app.sim.clear_faults();
            app.sim.fail_next(Fault::always("/users?", kind.clone()));
            let run = app.reconcile(&mapping).await;
            let users = collector(&run, "users");
            assert_eq!(users["state"], collector_state, "{kind:?}: {users}");
            assert!(users["reason"].as_str().unwrap().contains(words), "{kind:?}: {users}");
            assert_eq!(run["state"], "partial");
            assert_eq!(user_count(&app, &company).await, before, "{kind:?}");
        }
    }

    async fn mfa_that_cannot_be_read_is_unknown(app) {
        let (company, mapping) = app.connected("Bold").await;
        let run = app.settled(&app.newest_run(&mapping, "directory").await).await;
        assert_eq!(run["state"], "partial", "{run}");
        let mfa = collector(&run, "mfa_registrations");
        assert_eq!(mfa["state"], "skipped");
        assert_eq!(mfa["code"], "Authentication_RequestFromNonPremiumTenantOrB2CTenant");
        assert!(mfa["reason"].as_str().unwrap().contains("P1"));
        for user in app.all(&format!("/companies/{company}/users")).await {
            assert_eq!(user["mfa_registered"], Value::Null, "{user}");
        }
    }

    async fn lost_consent_disconnects_the_tenant_and_keeps_its_data(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let before = user_count(&app, &company).await;
        app.sim.revoke(app.directory("Contoso").id, app.application().client_id);
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "failed", "{run}");
        assert_eq!(run["error_code"], "AADSTS7000229");
        assert!(run["remedy"].as_str().unwrap().contains("consent"));
        let tenants = app.get("/tenants").await;
        assert_eq!(tenants["value"][0]["state"], "disconnected");
        assert_eq!(user_count(&app, &company).await, before);
        // Nothing is planned for it any more: no hammering.
        app.advance_minutes(48 * 60);
        assert_eq!(model::run::plan(&app.db).await.unwrap(), 0);
    }

    async fn a_rejected_secret_marks_the_credential(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let error = Kind::Error { status: 401, code: "invalid_client:7000222".into() };
        app.sim.fail_next(Fault::always("/oauth2/v2.0/token", error));
        // The token is cached until the credential changes or it lapses.
        app.connection.tokens.forget(&grantee(&app, "Contoso").await);
        let run = app.sync(&mapping, "directory").await;
        assert_eq!(run["state"], "failed");
        assert_eq!(run["error_code"], "AADSTS7000222");
        let credential = app.get("/credentials").await["value"][0].clone();
        assert_eq!(credential["state"], "failing");
        assert_eq!(credential["last_error_code"], "AADSTS7000222");
        assert!(credential["last_error"].as_str().unwrap().contains("expired"));
    }

    async fn cancel_stops_a_run_within_two_seconds(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.sim.fail_next(Fault::always("/users/delta", Kind::Slow { ms: 20_000 }));
        let asked = app.post("/runs", serde_json::json!({ "mapping_id": mapping, "kind": "directory" })).await;
        let id = asked["value"][0]["id"].as_str().unwrap().to_owned();
        app.wait_for(&id, |s| s == "running").await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let began = tokio::time::Instant::now();
        let (status, _) = app.api("POST", &format!("/runs/{id}/cancel"), None).await;
        assert_eq!(status, 200);
        let run = app.settled(&id).await;
        assert_eq!(run["state"], "cancelled");
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
        let (status, problem) = app.api("POST", &format!("/runs/{id}/cancel"), None).await;
        assert_eq!(status, 409, "{problem}");
    }
}

async fn grantee(app: &TestApp, name: &str) -> graph::Grantee {
    graph::Grantee {
        owner: app.partner.0,
        cloud: "custom".into(),
        tenant: app.directory(name).id,
        client_id: app.application().client_id,
    }
}
