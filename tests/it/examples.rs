//! The examples of the API's reference, and the script of the main job, typed into a shell.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::{Value, json};

use crate::{
    app::{Database, TestApp, owner, run, text},
    receiver::Receiver,
};

/// Types a script into a shell with these variables; answers what it printed, and whether it ended well.
async fn shell(script: &str, variables: &BTreeMap<&str, String>) -> (String, bool) {
    let done = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .envs(variables)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    (printed + &said, done.status.success())
}

#[test]
fn every_example_works() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        let tenant = app
            .consent(&credential, app.directory("Northwind").id)
            .await;
        let other = text(
            &app.post("/companies", json!({ "name": "Somebody else" }))
                .await,
            "id",
        );
        let receiver = Receiver::start(&[]).await;
        let run = app.newest_run(&mapping, "directory").await;
        let first = async |path: &str| text(&app.get(path).await["value"][0], "id");
        let (channel, _) = crate::channels::webhook(&app, &receiver.url, json!({})).await;
        let mail = app
            .post("/channels", json!({ "name": "Mail", "settings": { "kind": "smtp", "host": "127.0.0.1",
                "port": 9, "security": "none", "from": "a@halden.example", "to": ["b@halden.example"] } }))
            .await;
        let delivery = app
            .post(&format!("/channels/{channel}/tests"), json!({}))
            .await;
        let intake = app
            .post("/intakes", json!({ "name": "One", "url": receiver.url }))
            .await;
        let link = app
            .post(
                "/consent-links",
                json!({ "credential_id": credential, "company_name": "X" }),
            )
            .await;
        let request = app
            .post("/consent-requests", json!({ "credential_id": credential }))
            .await;
        let secret = text(
            &app.get(&format!("/credentials/{credential}/secrets")).await[0],
            "id",
        );
        let evidence = text(
            &crate::evidence::statements(&app, &company, 5).await[0],
            "id",
        );
        let assessment = crate::evidence::gathered(&app, &company).await;
        let schedule = app
            .post(
                &format!("/companies/{company}/report-schedules"),
                json!({
                "channel_id": mail["id"], "recipients": ["c@contoso.example"], "day": 1 }),
            )
            .await;
        let scope = app.scope();
        let member = model::member::create(&scope, "m@halden.example", "x", model::Role::Viewer)
            .await
            .unwrap();
        model::invitation::create(&scope, "new1@halden.example", model::Role::Viewer, None)
            .await
            .unwrap();
        let put =
            json!({ "is_on": true, "channel_id": mail["id"], "recipient": "a@halden.example" });
        app.api("PUT", "/contact-form", Some(put)).await;
        let alert = text(&crate::alerts::lost_consent(&app, "Contoso").await, "id");
        let approver = owner(&app.db, app.partner, "approver@halden.example").await;
        let application = app.application().clone();
        let variables: BTreeMap<&str, String> = BTreeMap::from([
            ("api", format!("{}/api/v1", app.url)),
            ("TOKEN", app.token.clone()),
            ("company_id", company.clone()),
            ("other_company_id", other),
            ("credential_id", credential.clone()),
            ("tenant_id", tenant),
            ("mapping_id", mapping),
            ("run_id", run),
            ("alert_id", alert),
            ("assessment_id", assessment),
            ("channel_id", channel),
            ("mail_channel_id", text(&mail, "id")),
            ("delivery_id", text(&delivery, "id")),
            ("intake_id", text(&intake, "id")),
            ("consent_link_id", text(&link, "id")),
            ("consent_request_id", text(&request, "id")),
            ("secret_id", secret),
            ("evidence_id", evidence),
            ("schedule_id", text(&schedule, "id")),
            ("member_id", member.to_string()),
            ("invitation_id", first("/invitations").await),
            (
                "user_id",
                first(&format!("/companies/{company}/users")).await,
            ),
            (
                "group_id",
                first(&format!("/companies/{company}/groups")).await,
            ),
            (
                "device_id",
                first(&format!("/companies/{company}/directory/devices")).await,
            ),
            ("month", "2026-10".into()),
            ("cloud", "custom".into()),
            ("directory_id", application.home.to_string()),
            ("client_id", uuid::Uuid::from_u128(4711).to_string()),
            ("client_secret", application.secret),
            ("receiver_url", receiver.url.clone()),
            ("intake_token", "intake-token".into()),
        ]);
        let document: Value = app
            .http
            .get(format!("{}/api/v1/openapi.json", app.url))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let mut all: Vec<(usize, String, String, Value)> = vec![];
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                // What ends things comes last: first what hangs on others, then credentials, revoked before deleted.
                let ends = method == "delete" || path.ends_with("/revoke");
                let turn = match (method.as_str(), path.as_str()) {
                    ("get", _) => 0,
                    (_, path) if ends && path.contains("credentials") => {
                        5 + usize::from(method == "delete")
                    }
                    (_, path) if ends && path == "/api/v1/companies/{id}" => 4,
                    _ if ends => 3,
                    (_, path) if path.ends_with("/approval") || path.ends_with("/remap") => 2,
                    _ => 1,
                };
                all.push((turn, method.clone(), path.clone(), operation.clone()));
            }
        }
        all.sort_by_key(|one| one.0);
        let (mut ran, mut wrong) = (0, Vec::new());
        for (_, method, path, operation) in &all {
            let sample = operation["x-codeSamples"][0]["source"].as_str().unwrap();
            let mut variables = variables.clone();
            if path.ends_with("/approval") {
                variables.insert("TOKEN", approver.clone());
            }
            if path.ends_with("/remap") {
                app.consent(&credential, app.directory("Contoso").id).await;
            }
            if (method.as_str(), path.as_str()) == ("delete", "/api/v1/mappings/{id}") {
                // What it was mapped to anew.
                let other = &variables["other_company_id"];
                variables.insert(
                    "mapping_id",
                    first(&format!("/mappings?company_id={other}")).await,
                );
            }
            // The status is what the example itself does not print.
            let script =
                sample.replacen("curl -sS", "curl -sS -o /dev/stderr -w '%{http_code}'", 1);
            let (printed, well) = shell(&script, &variables).await;
            assert!(well, "{method} {path}: {printed}");
            let status: u16 = printed
                .get(..3)
                .and_then(|s| s.parse().ok())
                .unwrap_or_else(|| panic!("{method} {path}: {printed}"));
            // What the fixture has nothing for is refused as documented, for that very reason.
            let expected = match (method.as_str(), path.as_str()) {
                (
                    "delete",
                    "/api/v1/assessments/{id}"
                    | "/api/v1/assessments/{id}/evidence/{control}/{evidence_id}",
                ) => "approved",
                ("post", "/api/v1/channels/{id}/deliveries/{delivery_id}/retry") => "given up",
                // Nothing is held back, and no certificate waits to be used.
                (
                    "post",
                    "/api/v1/mappings/{id}/confirmations"
                    | "/api/v1/credentials/{id}/secrets/{secret_id}/use",
                ) => "not-found",
                ("post", "/api/v1/runs/{id}/cancel") => "ended",
                ("delete", "/api/v1/credentials/{id}") => "history stays readable",
                _ => "",
            };
            if (200..300).contains(&status) {
                ran += 1;
            } else if expected.is_empty() || !printed.contains(expected) {
                wrong.push(format!("{method} {path}: {printed}\n{sample}"));
            }
            if !operation["responses"][status.to_string()].is_object() {
                wrong.push(format!("{method} {path}: {status} is not documented"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        println!("{ran} of {} examples did what they say", all.len());
        assert!(
            ran + 7 == all.len() && all.len() > 85,
            "{ran} of {}",
            all.len()
        );
    });
}

#[test]
fn the_script_of_the_main_job_does_it() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let script = std::fs::read_to_string(format!("{root}/docs/main-job.sh")).unwrap();
        assert!(script.lines().count() < 60, "{}", script.lines().count());
        let application = app.application().clone();
        let contoso = app.directory("Contoso");
        let variables = BTreeMap::from([
            ("API", format!("{}/api/v1", app.url)),
            ("TOKEN", app.token.clone()),
            ("CLOUD", "custom".to_owned()),
            ("DIRECTORY_ID", application.home.to_string()),
            ("CLIENT_ID", application.client_id.to_string()),
            ("CLIENT_SECRET", application.secret.clone()),
            ("CUSTOMER_DIRECTORY_ID", contoso.id.to_string()),
            // Against the simulator an administrator is a client that keeps cookies.
            (
                "OPEN",
                "curl -sSL -o /dev/null -b /dev/null -c /dev/null".to_owned(),
            ),
        ]);
        let (printed, well) = shell(&script, &variables).await;
        assert!(well, "{printed}");
        let company = text(&app.get("/companies").await["value"][0], "id");
        let users = app.all(&format!("/companies/{company}/users")).await.len();
        assert!(printed.contains(&format!("{users} users")), "{printed}");
        assert!(printed.contains("Secure Score: "), "{printed}");
    });
}
