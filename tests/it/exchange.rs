//! What programs may ask of every exchange with the API: done once, not sent again, changed only as seen;
//! lists by snapshot, filtered as the tables are, whole as NDJSON; and webhooks of what happens.

use std::time::Duration;

use portal::routes::{Access, TABLE};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::{
    app::{TestApp, text},
    on_both,
    receiver::Receiver,
};

async fn post(app: &TestApp, key: &str, path: &str, body: &Value) -> Response {
    let url = format!("{}/api/v1{path}", app.url);
    let request = app.http.post(url).bearer_auth(&app.token).json(body);
    request.header("idempotency-key", key).send().await.unwrap()
}

async fn with(
    app: &TestApp,
    method: &str,
    path: &str,
    header: (&str, &str),
    body: &Value,
) -> Response {
    let url = format!("{}/api/v1{path}", app.url);
    let request = app
        .http
        .request(method.parse().unwrap(), url)
        .bearer_auth(&app.token);
    let request = request.header(header.0, header.1);
    let request = match body.is_null() {
        true => request,
        false => request.json(body),
    };
    request.send().await.unwrap()
}

on_both! {
    async fn a_request_with_a_key_is_done_once(app) {
        let hook = json!({ "name": "Hook", "settings": { "kind": "webhook", "url": "http://127.0.0.1:9/" } });
        let first = post(&app, "one", "/channels", &hook).await;
        assert_eq!(first.status(), StatusCode::CREATED);
        assert!(!first.headers().contains_key("idempotency-replayed"));
        let location = first.headers()["location"].clone();
        let first: Value = first.json().await.unwrap();
        for _ in 0..2 {
            let again = post(&app, "one", "/channels", &hook).await;
            assert_eq!(again.status(), StatusCode::CREATED);
            assert_eq!(again.headers()["idempotency-replayed"], "true");
            assert_eq!(again.headers()["location"], location);
            // Also the key that is shown once: whoever lost the first answer has it now.
            assert_eq!(again.json::<Value>().await.unwrap(), first);
        }
        assert_eq!(app.get("/channels?total=true").await["total"], 1);
        // It is kept sealed.
        let kept = crate::audit::count(&app.db, "SELECT COUNT(*) FROM idempotency_keys WHERE sealed IS NOT NULL").await;
        assert_eq!(kept, 1);
        // Another request may not have the same key; the same one may, with another token or key.
        let mut other = hook.clone();
        other["name"] = json!("Other");
        let refused = post(&app, "one", "/channels", &other).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.json::<Value>().await.unwrap()["errors"][0]["field"], "Idempotency-Key");
        assert_eq!(post(&app, "two", "/channels", &hook).await.status(), StatusCode::CREATED);
        assert_eq!(app.get("/channels?total=true").await["total"], 2);
        // A refusal is an answer as well.
        let wrong = json!({ "name": "", "settings": { "kind": "webhook", "url": "http://127.0.0.1:9/" } });
        for replayed in [false, true] {
            let refused = post(&app, "three", "/channels", &wrong).await;
            assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(refused.headers().contains_key("idempotency-replayed"), replayed);
            assert_eq!(refused.json::<Value>().await.unwrap()["errors"][0]["field"], "name");
        }
        // At once: one does it, the other waits or has the answer.
        let (a, b) = tokio::join!(post(&app, "four", "/channels", &hook), post(&app, "four", "/channels", &hook));
        let statuses = [a.status(), b.status()];
        assert!(statuses.contains(&StatusCode::CREATED), "{statuses:?}");
        assert!(statuses.iter().all(|s| matches!(*s, StatusCode::CREATED | StatusCode::CONFLICT)), "{statuses:?}");
        assert_eq!(app.get("/channels?total=true").await["total"], 3);
        assert_eq!(post(&app, &"x".repeat(256), "/channels", &hook).await.status(), StatusCode::BAD_REQUEST);
        // Keys are replaced beneath the answers, which stay readable; after a day they are forgotten.
        let rotated = model::data_key::rotate::rotate(&app.scope(), &app.connection.keyring).await.unwrap();
        assert!(rotated.moved >= 4, "{rotated:?}");
        let again = post(&app, "one", "/channels", &hook).await;
        assert_eq!(again.json::<Value>().await.unwrap(), first);
        app.advance_minutes(24 * 60 + 1);
        assert!(!post(&app, "one", "/channels", &hook).await.headers().contains_key("idempotency-replayed"));
        assert_eq!(app.get("/channels?total=true").await["total"], 4);
    }

    async fn a_change_is_made_to_what_was_seen(app) {
        let made = app.post("/companies", json!({ "name": "Fabrikam" })).await;
        let path = format!("/companies/{}", text(&made, "id"));
        let nothing = Value::Null;
        let seen = with(&app, "GET", &path, ("accept", "*/*"), &nothing).await;
        let tag = seen.headers()["etag"].to_str().unwrap().to_owned();
        let same = with(&app, "GET", &path, ("if-none-match", &tag), &nothing).await;
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(same.headers()["etag"].to_str().unwrap(), tag);
        let changed = with(&app, "PATCH", &path, ("if-match", &tag), &json!({ "name": "Fabrikam Ltd" })).await;
        assert_eq!(changed.status(), StatusCode::OK);
        let newer = changed.headers()["etag"].to_str().unwrap().to_owned();
        assert_ne!(newer, tag);
        // Whoever saw what was before changes nothing.
        let refused = with(&app, "PATCH", &path, ("if-match", &tag), &json!({ "name": "Lost" })).await;
        assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let now = with(&app, "GET", &path, ("if-none-match", &tag), &nothing).await;
        assert_eq!(now.headers()["etag"].to_str().unwrap(), newer);
        assert_eq!(now.json::<Value>().await.unwrap()["name"], "Fabrikam Ltd");
        let nobody = format!("/companies/{}", uuid::Uuid::from_u128(7));
        let gone = with(&app, "PATCH", &nobody, ("if-match", "*"), &json!({ "name": "x" })).await;
        assert_eq!(gone.status(), StatusCode::NOT_FOUND);

        // Every thing that can be changed heeds it.
        let (_, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let (channel, _) = crate::channels::webhook(&app, "http://127.0.0.1:9/", json!({})).await;
        let intake = text(&app.post("/intakes", json!({ "name": "SIEM", "url": "http://127.0.0.1:9/" })).await, "id");
        let alert = text(&crate::alerts::lost_consent(&app, "Contoso").await, "id");
        let company = text(&made, "id");
        let credential = text(&app.get("/credentials").await["value"][0], "id");
        let scope = app.scope();
        let member = model::member::create(&scope, "other@halden.example", "x", model::Role::Viewer).await.unwrap().to_string();
        let mut driven = 0;
        for (method, path, access) in TABLE {
            if *method != "patch" || !matches!(access, Access::Api(_)) || !path.ends_with("/{id}") {
                continue;
            }
            let noun = path.strip_prefix("/api/v1/").unwrap().split('/').next().unwrap();
            let id = match noun {
                "companies" => &company,
                "mappings" => &mapping,
                "channels" => &channel,
                "intakes" => &intake,
                "alerts" => &alert,
                "credentials" => &credential,
                "members" => &member,
                other => panic!("no {other} here"),
            };
            let body = crate::isolation::body_of(path);
            let path = format!("/{noun}/{id}");
            let refused = with(&app, "PATCH", &path, ("if-match", "\"stale\""), &body).await;
            assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED, "{path}");
            let seen = with(&app, "GET", &path, ("accept", "*/*"), &nothing).await;
            let tag = seen.headers()["etag"].to_str().unwrap().to_owned();
            let done = with(&app, "PATCH", &path, ("if-match", &tag), &body).await;
            assert_eq!(done.status(), StatusCode::OK, "{path}: {}", done.text().await.unwrap());
            driven += 1;
        }
        assert_eq!(driven, 7);
    }

    async fn lists_are_filtered_as_the_tables_are_and_of_one_snapshot(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let users = format!("/companies/{company}/users");
        let all = app.all(&users).await;
        for (filter, field, wanted) in [
            ("type=guest", "user_type", json!("Guest")),
            ("account_enabled=false", "account_enabled", json!(false)),
            ("licensed=true", "licensed", json!(true)),
            ("mfa=registered", "mfa_registered", json!(true)),
            ("mfa=missing", "mfa_registered", json!(false)),
        ] {
            let found = app.all(&format!("{users}?{filter}")).await;
            let expected = all.iter().filter(|u| u[field] == wanted).count();
            assert!(found.iter().all(|u| u[field] == wanted), "{filter}");
            assert_eq!(found.len(), expected, "{filter}");
        }
        let sorted = app.all(&format!("{users}?sort=-user_principal_name")).await;
        let names: Vec<&str> = sorted.iter().map(|u| u["user_principal_name"].as_str().unwrap()).collect();
        assert!(names.is_sorted_by(|a, b| a >= b), "{names:?}");
        for bad in ["type=x", "mfa=x", "sort=x", "account_enabled=x"] {
            assert_eq!(app.api("GET", &format!("{users}?{bad}"), None).await.0, StatusCode::BAD_REQUEST, "{bad}");
        }
        let groups = app.all(&format!("/companies/{company}/groups?kind=security")).await;
        assert!(!groups.is_empty() && groups.iter().all(|g| g["kind"] == "security"), "{groups:?}");

        // A sync that ends between two pages moves nothing from one to the other.
        let first = app.get(&format!("{users}?limit=10&total=true")).await;
        let before: Vec<String> = all.iter().map(|u| text(u, "id")).collect();
        let directory = app.directory("Contoso").id;
        app.sim.add_users(directory, 15);
        app.sim.rename_user(directory, 2, "Aaaa First");
        app.reconcile(&mapping).await;
        let mut seen: Vec<Value> = first["value"].as_array().unwrap().clone();
        let mut next = text(&first, "next");
        loop {
            let page = app.get(&format!("{users}?limit=10&after={next}")).await;
            seen.extend(page["value"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(more) => next = more.to_owned(),
                None => break,
            }
        }
        let seen: Vec<String> = seen.iter().map(|u| text(u, "id")).collect();
        assert_eq!(seen, before, "each once, in the order of the first page");
        assert_eq!(app.all(&users).await.len(), before.len() + 15);
        for bad in ["10-1-1-1-1", "10-999999-1", "10-1"] {
            assert_eq!(app.api("GET", &format!("{users}?after={bad}"), None).await.0, StatusCode::CONFLICT, "{bad}");
        }

        // All of it at once, a line each.
        for list in [users.clone(), format!("/companies/{company}/groups"), format!("/companies/{company}/directory/devices")] {
            let answer = with(&app, "GET", &list, ("accept", "application/x-ndjson"), &Value::Null).await;
            assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
            let lines: Vec<Value> = answer.text().await.unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(lines, app.all(&list).await, "{list}");
        }
    }

    async fn a_webhook_is_told_of_jobs_and_mappings(app) {
        let receiver = Receiver::start(&[]).await;
        let events = json!(["run.finished", "mapping.changed"]);
        let (id, key) = crate::channels::webhook(&app, &receiver.url, json!({ "events": events })).await;
        assert_eq!(app.get(&format!("/channels/{id}")).await["rules"]["events"], events);
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        app.api("PATCH", &format!("/mappings/{mapping}"), Some(json!({ "sync_interval_minutes": 720 }))).await;
        app.api("DELETE", &format!("/mappings/{mapping}"), None).await;
        let wanted = |what: &str, field: &str, value: &str| receiver.received().iter().any(|one| {
            let body = one.json();
            body["data"][what][field] == value && body["data"][what]["company_id"] == company.as_str()
                && body["data"][what]["link"].as_str().unwrap().starts_with(&app.url)
        });
        for _ in 0..300 {
            if wanted("mapping", "change", "deleted") && wanted("run", "kind", "secure_score") { break; }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for change in ["created", "interval", "deleted"] {
            assert!(wanted("mapping", "change", change), "{change}: {:?}", receiver.received());
        }
        for kind in ["directory", "secure_score"] {
            assert!(wanted("run", "kind", kind), "{kind}");
        }
        let all = receiver.received();
        assert!(all.iter().all(|one| one.is_signed(&key)));
        let runs = all.iter().filter(|one| one.headers["tenantry-event"] == "run.finished").count();
        let ended = app.all("/runs").await.len();
        assert_eq!(runs, ended, "each job once");
        // Mail is not for that.
        let mail = json!({ "name": "Mail", "rules": { "events": ["run.finished"] }, "settings": { "kind": "smtp", "host": "127.0.0.1",
            "port": 9, "security": "none", "from": "a@halden.example", "to": ["b@halden.example"] } });
        let (status, answer) = app.api("POST", "/channels", Some(mail)).await;
        assert_eq!((status, &answer["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("events")));
        let page = app.browser().await.page(&format!("/settings/notifications/{id}")).await;
        assert!(page.contains("value=\"run.finished\" checked"), "{page}");
    }

    async fn every_list_is_a_file_with_the_documented_headers(app) {
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let directory = app.directory("Contoso").id;
        // Somebody whose name is a formula.
        app.sim.rename_user(directory, 1, "=HYPERLINK(\"http://evil.example\")");
        app.sim.rename_group(directory, 1, "@SUM(A1)");
        app.reconcile(&mapping).await;
        let group = text(&app.get(&format!("/companies/{company}/groups")).await["value"][0], "id");
        let (channel, _) = crate::channels::webhook(&app, "http://127.0.0.1:9/", json!({})).await;
        let browser = app.browser().await;
        let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/csv.md")).unwrap();
        let read = async |path: &str, name: &str| -> Vec<Vec<String>> {
            let answer = browser.get(path).await;
            assert_eq!(answer.status(), 200, "{path}");
            assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
            let disposition = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
            assert!(disposition.contains(&format!("filename=\"{name}")), "{path}: {disposition}");
            let file = answer.text().await.unwrap();
            let mut lines = csv::ReaderBuilder::new().has_headers(false).from_reader(file.as_bytes());
            lines.records().map(|line| line.unwrap().iter().map(str::to_owned).collect()).collect()
        };
        let entra = "/settings/integrations/entra";
        let mut files = 0;
        for (path, name, rows) in [
            (format!("/companies/{company}/users.csv"), "users", Some(app.all(&format!("/companies/{company}/users")).await.len())),
            (format!("/companies/{company}/groups.csv"), "groups", Some(app.all(&format!("/companies/{company}/groups")).await.len())),
            (format!("/companies/{company}/groups/{group}/members.csv"), "group-members", None),
            (format!("/companies/{company}/secure-scores.csv"), "secure-scores", Some(app.all(&format!("/companies/{company}/secure-scores")).await.len())),
            (format!("/companies/{company}/secure-score-controls.csv?status=all"), "secure-score-controls", None),
            (format!("/companies/{company}/evidence.csv"), "evidence", Some(app.all(&format!("/companies/{company}/evidence")).await.len())),
            ("/companies.csv".into(), "companies", Some(1)),
            (format!("{entra}/tenants.csv"), "tenants", Some(1)),
            (format!("{entra}/mappings.csv"), "company-mappings", Some(1)),
            (format!("{entra}/credentials.csv"), "credentials", Some(1)),
            ("/jobs.csv".into(), "jobs", Some(app.all("/runs").await.len())),
            ("/alerts.csv?view=all".into(), "alerts", None),
            ("/assessments.csv".into(), "assessments", Some(0)),
            ("/settings/members.csv".into(), "members", Some(1)),
            (format!("/settings/notifications/{channel}/deliveries.csv"), "deliveries", None),
            ("/settings/audit.csv".into(), "audit-log", None),
        ] {
            let lines = read(&path, name).await;
            let headers = lines[0].join(", ");
            let line = format!("| `{name}` | {headers} |");
            assert!(documented.contains(&line), "docs/csv.md lacks: {line}");
            if let Some(rows) = rows {
                assert_eq!(lines.len() - 1, rows, "{path}");
            }
            // Nothing that a spreadsheet would run.
            for cell in lines.iter().flatten() {
                assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{path}: {cell}");
            }
            files += 1;
        }
        assert_eq!(files, report::csv::all().len(), "every sheet");
        let users = read(&format!("/companies/{company}/users.csv?q=HYPERLINK"), "users").await;
        assert!(users.len() > 1);
        for user in &users[1..] {
            assert!(user[1].starts_with("'=HYPERLINK("), "{user:?}");
        }
        // Every section of the directory, with its own columns.
        for section in ["app-registrations", "service-principals", "devices", "role-assignments", "licences", "domains"] {
            let lines = read(&format!("/companies/{company}/directory.csv?section={section}"), section).await;
            let rows = app.all(&format!("/companies/{company}/directory/{section}")).await;
            assert_eq!(lines.len() - 1, rows.len(), "{section}");
            let fields = rows.first().map(|row| row["fields"].as_object().unwrap().len());
            assert_eq!(lines[0].len(), fields.unwrap_or(lines[0].len() - 3) + 3, "{section}: {:?}", lines[0]);
        }
        assert_eq!(browser.get(&format!("/companies/{company}/directory.csv?section=nothing")).await.status(), 404);
        // The page leads to the file of what it shows.
        let page = browser.page(&format!("/companies/{company}/directory/devices?q=a")).await;
        assert!(page.contains("directory.csv?section=devices&#38;q=a") || page.contains("directory.csv?section=devices&amp;q=a"), "no link");
    }
}
