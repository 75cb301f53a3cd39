//! Events of OCSF: valid against the schema, whole, of those companies alone that one may see, and sent to
//! an intake without loss.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jsonschema::Validator;
use model::{Role, api_token};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sim::World;

use crate::{
    app::{Database, TestApp, run, text},
    on_both,
    receiver::{Received, Receiver},
    rig::Installation,
};

/// The schema of a version, compiled from its release.
pub fn schema(version: &str) -> Validator {
    let path = format!(
        "{}/data/ocsf/{version}.schema.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "the last line is whole"
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn events_as(app: &TestApp, token: &str, query: &str) -> Vec<Value> {
    let url = format!("{}/api/v1/ocsf-events?{query}", app.url);
    let answer = app.http.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{query}");
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    lines(&answer.text().await.unwrap())
}

async fn events(app: &TestApp, query: &str) -> Vec<Value> {
    events_as(app, &app.token, query).await
}

fn of_class(all: &[Value], class: u64) -> Vec<&Value> {
    all.iter().filter(|e| e["class_uid"] == class).collect()
}

fn uids<'a>(all: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    all.into_iter()
        .map(|event| text(&event["metadata"], "uid"))
        .collect()
}

/// Tenants, classes and objects, whatever was published between two looks.
fn objects<'a>(all: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let cut = |uid: String| uid.rsplit_once('/').unwrap().0.to_owned();
    uids(all).into_iter().map(cut).collect()
}

/// Waits until an intake has nothing to send.
async fn sent(app: &TestApp, intake: &str) -> Value {
    for _ in 0..600 {
        let found = app.get(&format!("/intakes/{intake}")).await;
        if found["waiting_mappings"] == 0 && found["last_error"].is_null() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", app.get(&format!("/intakes/{intake}")).await);
}

fn accepted(all: &[Received]) -> Vec<Value> {
    let taken = all.iter().filter(|one| one.answered == 200);
    taken.flat_map(|one| lines(&one.body)).collect()
}

async fn intake(app: &TestApp, url: &str, with: Value) -> String {
    let mut new = json!({ "name": "SIEM", "url": url, "token": "intake-token" });
    for (name, value) in with.as_object().unwrap() {
        new[name] = value.clone();
    }
    text(&app.post("/intakes", new).await, "id")
}

on_both! {
    async fn every_event_is_valid(app) {
        let application = app.application();
        app.post("/credentials", json!({
            "name": "Main", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret,
            "features": ["mfa", "secure_score", "activity", "devices", "managed_devices", "policies", "risk", "eligibility"],
        })).await;
        let detection = |id: u32, level: &str, state: &str| json!({
            "id": format!("d{id}"), "riskLevel": level, "riskState": state, "riskEventType": "unlikelyTravel",
            "riskDetail": "none", "source": "IdentityProtection", "activity": "signin", "ipAddress": "203.0.113.7",
            "userId": "u1", "userDisplayName": "Somebody", "userPrincipalName": "somebody@contoso.example",
            "location": { "city": "Oslo", "countryOrRegion": "NO" }, "detectedDateTime": app.clock.now().rfc3339(),
        });
        app.sim.record("/v1.0/identityProtection/riskDetections", json!({ "value": [
            detection(1, "high", "atRisk"), detection(2, "low", "dismissed"), detection(3, "hidden", "unknownFutureValue"),
        ] }));
        let mut companies = vec![];
        for name in ["Contoso", "Northwind"] {
            companies.push(app.connected(name).await.0);
        }
        app.drain().await;
        for version in ["1.6.0", "1.8.0"] {
            let schema = schema(version);
            let all = events(&app, &format!("schema_version={version}")).await;
            for event in &all {
                let wrong: Vec<String> = schema.iter_errors(event).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert!(wrong.is_empty(), "{wrong:?}: {event}");
            }
            assert_eq!(uids(&all).len(), all.len(), "ids name events");
            // As many as the portal lists, of each class.
            let (mut users, mut devices, mut detections) = (0, 0, 0);
            for company in &companies {
                users += app.all(&format!("/companies/{company}/users")).await.len();
                devices += app.all(&format!("/companies/{company}/directory/devices")).await.len();
                detections += app.all(&format!("/companies/{company}/directory/risk-detections")).await.len();
            }
            assert_eq!(of_class(&all, 5003).len(), users);
            assert_eq!(of_class(&all, 5001).len(), devices);
            assert_eq!(of_class(&all, 2004).len(), detections);
            let controls = of_class(&all, 2003);
            assert!(users > 20 && devices > 5 && detections > 0 && controls.len() > 10, "{users} {devices} {detections} {}", controls.len());
            let passed = controls.iter().filter(|c| c["compliance"]["status_id"] == 1).count();
            assert!(passed > 0 && passed < controls.len());
        }
        // Fields of a person and of a machine are those that the API has.
        let company = &companies[0];
        let user = app.all(&format!("/companies/{company}/users")).await.into_iter().find(|u| u["department"].is_string()).unwrap();
        let all = events(&app, &format!("class=5003&company_id={company}&schema_version=1.8.0")).await;
        let event = all.iter().find(|e| e["user"]["uid"] == user["id"]).unwrap();
        assert_eq!(event["user"]["ldap_person"]["department"], user["department"]);
        assert_eq!(event["user"]["name"], user["user_principal_name"]);
        assert_eq!(event["user"].get("has_mfa").cloned().unwrap_or(Value::Null), user["mfa_registered"]);
        let groups: usize = all.iter().map(|e| e["user"]["groups"].as_array().unwrap().len()).sum();
        let mut members = 0;
        for group in app.all(&format!("/companies/{company}/groups")).await {
            let of = app.all(&format!("/companies/{company}/groups/{}/members", text(&group, "id"))).await;
            members += of.iter().filter(|m| m["type"] == "user" || m["member_type"] == "user").count();
        }
        assert!(groups > 0);
        assert_eq!(groups, members, "every membership of a user, once");
        for bad in ["class=5002", "schema_version=1.7.0", "form=other", "company_id=x"] {
            let (status, answer) = app.api("GET", &format!("/ocsf-events?{bad}"), None).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {answer}");
            assert!(text(&answer, "detail").starts_with(bad.split('=').next().unwrap()), "{answer}");
        }
    }

    async fn a_limited_viewer_has_the_events_of_the_company_alone(app) {
        let (contoso, _) = app.connected("Contoso").await;
        let (northwind, _) = app.connected("Northwind").await;
        app.drain().await;
        let scope = app.scope();
        let only = vec![contoso.parse().unwrap()];
        let member = model::member::create(&scope, "limited@halden.example", "x", Role::Viewer).await.unwrap();
        model::member::change(&scope, member, Role::Viewer, Some(&only)).await.unwrap();
        let token = api_token::create(&scope, member, "limited", Role::Viewer, None).await.unwrap();
        let seen = events_as(&app, &token, "").await;
        let own = events(&app, &format!("company_id={contoso}")).await;
        assert!(!own.is_empty());
        assert_eq!(objects(&seen), objects(&own));
        let (status, _) = app.api_as(&token, "GET", &format!("/ocsf-events?company_id={northwind}"), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        // In the portal it is a file, after a proof.
        let browser = app.browser().await;
        let answer = browser.get(&format!("/companies/{contoso}/ocsf-events.ndjson?class=user_inventory")).await;
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"ocsf-events.ndjson\"");
        let file = lines(&answer.text().await.unwrap());
        assert_eq!(objects(&file), objects(of_class(&own, 5003)));
    }

    async fn an_intake_has_everything_once_and_then_what_changed(app) {
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        // What the plan would begin meanwhile is done before, so that each event is known.
        app.sync(&mapping, "sign_in_activity").await;
        app.drain().await;
        // It fails, asks for time, and wants fewer at once.
        let receiver = Receiver::start(&[503, 413, 413, 200, 500]).await;
        let id = intake(&app, &receiver.url, json!({})).await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(700)).await;
            app.clock.advance_ms(16 * 60_000);
        }
        let done = sent(&app, &id).await;
        let all = receiver.received();
        assert_eq!(all.iter().take(5).map(|r| r.answered).collect::<Vec<_>>(), [503, 413, 413, 200, 500]);
        assert!(lines(&all[3].body).len() < lines(&all[0].body).len(), "fewer at once");
        for one in &all {
            assert_eq!(one.headers["authorization"], "Bearer intake-token");
            assert_eq!(one.headers["content-type"], "application/x-ndjson");
        }
        let expected = events(&app, "").await;
        let taken = accepted(&all);
        assert_eq!(taken.len(), expected.len(), "each once");
        assert_eq!(uids(&taken), uids(&expected), "nothing is left out");
        assert_eq!(done["events"], expected.len());
        // The token is nowhere shown.
        assert!(!done.to_string().contains("intake-token"), "{done}");

        // A sync that finds nothing new sends nothing of the directory.
        let before = receiver.received().len();
        app.sync(&mapping, "directory").await;
        sent(&app, &id).await;
        let nothing = accepted(&receiver.received()[before..]);
        assert!(of_class(&nothing, 5003).is_empty() && of_class(&nothing, 5001).is_empty(), "{nothing:?}");
        // One that finds some sends those alone.
        let directory = app.directory("Contoso").id;
        app.sim.rename_user(directory, 1, "Somebody Else");
        let before = receiver.received().len();
        app.sync(&mapping, "directory").await;
        sent(&app, &id).await;
        let changed = accepted(&receiver.received()[before..]);
        let changed = of_class(&changed, 5003);
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_eq!(changed[0]["user"]["full_name"], "Somebody Else");
        assert!(!uids(&expected).contains(&text(&changed[0]["metadata"], "uid")), "a change has an id of its own");

        // Paused it waits, and loses nothing.
        let (status, paused) = app.api("PATCH", &format!("/intakes/{id}"), Some(json!({ "is_on": false }))).await;
        assert_eq!((status, &paused["is_on"]), (StatusCode::OK, &json!(false)));
        app.sim.rename_user(directory, 1, "Somebody Again");
        let before = receiver.received().len();
        app.sync(&mapping, "directory").await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(receiver.received().len(), before, "paused");
        app.api("PATCH", &format!("/intakes/{id}"), Some(json!({ "is_on": true }))).await;
        sent(&app, &id).await;
        let later = accepted(&receiver.received()[before..]);
        assert_eq!(of_class(&later, 5003)[0]["user"]["full_name"], "Somebody Again");

        // And everything once more, where that is asked for.
        let before = receiver.received().len();
        let (status, _) = app.api("POST", &format!("/intakes/{id}/full-passes"), None).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        sent(&app, &id).await;
        let again = accepted(&receiver.received()[before..]);
        assert_eq!(uids(&again), uids(&events(&app, "").await));
        let (status, _) = app.api("DELETE", &format!("/intakes/{id}"), None).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        assert_eq!(app.api("GET", &format!("/intakes/{id}"), None).await.0, StatusCode::NOT_FOUND);
    }
}

/// The real binary, killed again and again while it sends.
#[test]
fn kill_9_while_sending_leaves_nothing_out() {
    run(|| async {
        let world = World::sized("secret-of-the-rig".into(), 3000, 20, 3000);
        let app = TestApp::start_with(Database::Sqlite, crate::app::licensed(world), false).await;
        let rig = Installation::new(&app, None);
        let mut process = rig.serve(&[]);
        rig.synced(&app, "Measured", 3000).await;
        let receiver = Receiver::start(&[]).await;
        let new = json!({ "name": "SIEM", "url": receiver.url, "classes": ["user_inventory"] });
        let made = rig.insist("POST", "/intakes", Some(new)).await;
        let path = format!("/intakes/{}", text(&made, "id"));
        let company = rig.insist("GET", "/companies", None).await;
        let company = text(&company["value"][0], "name");
        let mut kills = 0;
        for pause in [0, 40, 90, 150, 220, 300, 60, 120] {
            let before = receiver.received().len();
            while receiver.received().len() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
            process.kill();
            kills += 1;
            // Small requests, so that there is much to be killed at; and whoever held it is taken for dead.
            rig.sql("UPDATE intakes SET lease_until = 0, batch = 10 RETURNING name");
            process = rig.serve(&[]);
        }
        rig.until(&path, |found| found["waiting_mappings"] == 0)
            .await;
        process.kill();
        let file = rig.folder().join("events.ndjson");
        let file = file.to_str().unwrap();
        let export = [
            "export",
            "ocsf",
            "--class",
            "5003",
            "--company",
            &company,
            "--output",
            file,
        ];
        let done = rig.command(&export, &[]).output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let expected = uids(&lines(&std::fs::read_to_string(file).unwrap()));
        assert_eq!(expected.len(), 3000);
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for event in accepted(&receiver.received()) {
            *times.entry(text(&event["metadata"], "uid")).or_default() += 1;
        }
        let all: BTreeSet<String> = times.keys().cloned().collect();
        assert_eq!(all, expected, "nothing is left out");
        let doubles: usize = times.values().map(|n| n - 1).sum();
        // At most one request of each kill is sent twice: of 500 events before the first.
        assert!(
            doubles <= 500 + kills * 10,
            "{doubles} doubles after {kills} kills"
        );
        println!("an intake killed {kills} times: 3000 events arrived, {doubles} of them twice");
    });
}
