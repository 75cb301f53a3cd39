//! What is refused is in the log, as JSON where that is asked for, without a token of anybody's; and
//! what came past the proxy is not answered.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write};

use reqwest::{Client, Method, redirect::Policy};
use serde_json::{Value, json};
use sim::World;

use crate::{
    app::{Database, TestApp, run, secret, text},
    evidence::colleague,
    rig::Installation,
};

fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

async fn installation() -> (TestApp, Installation) {
    let app = TestApp::start_with(
        Database::Sqlite,
        World::sized("secret".into(), 5, 1, 2),
        false,
    )
    .await;
    let mut rig = Installation::new(&app, None);
    rig.environment.push(("TENANTRY_LOG_FORMAT", "json".into()));
    (app, rig)
}

#[test]
fn refusals_are_logged_with_who_and_what() {
    run(|| async {
        let (_app, rig) = installation().await;
        let server = rig.serve(&[]);
        rig.until("/credentials", |v| v["value"].is_array()).await;
        let nobody = "0190a1b2-0000-7000-8000-000000000000";
        let http = browser();
        for (method, path, token, site, status) in [
            ("GET", "/companies?q=secret-search", false, "none", 303),
            ("GET", "/api/v1/companies", false, "none", 401),
            ("POST", "/sign-in", false, "cross-site", 403),
            ("GET", "/invitations/secret-token", false, "none", 404),
            ("DELETE", "/api/v1/companies", true, "none", 405),
            (
                "GET",
                &format!("/api/v1/companies/{nobody}"),
                true,
                "none",
                404,
            ),
        ] {
            let method: Method = method.parse().unwrap();
            let mut request = http
                .request(method, format!("{}{path}", rig.url()))
                .header("sec-fetch-site", site);
            if token {
                request = request.bearer_auth(&rig.token);
            }
            assert_eq!(request.send().await.unwrap().status(), status, "{path}");
        }
        server.kill();
        let log = rig.log();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        let refused = |status: u16, route: &str| {
            let said = |line: &&Value| {
                let message = line["message"].as_str().unwrap_or_default();
                message.starts_with("refused") && line["status"] == status
            };
            let at = |line: &&Value| line["route"] == route || line["path"] == route;
            let found = lines.iter().find(|line| said(line) && at(line));
            found.unwrap_or_else(|| panic!("no {status} at {route}: {log}"))
        };
        for (status, route) in [
            (303, "/companies"),
            (401, "/api/v1/companies"),
            (403, "/sign-in"),
            (404, "/invitations/{token}"),
        ] {
            let line = refused(status, route);
            assert_eq!(
                (&line["level"], &line["address"]),
                (&"INFO".into(), &"127.0.0.1".into())
            );
        }
        // Whoever is known stands out, with what they asked for.
        let line = refused(404, &format!("/api/v1/companies/{nobody}"));
        assert_eq!(line["level"], "WARN");
        assert_eq!(
            (&line["kind"], &line["role"]),
            (&"token".into(), &"owner".into())
        );
        assert!(
            !log.contains("secret-"),
            "tokens and searches are not logged: {log}"
        );
    });
}

#[test]
fn what_came_past_the_proxy_is_not_answered() {
    run(|| async {
        let (_app, mut rig) = installation().await;
        let public = ("TENANTRY_PUBLIC_URL", "https://portal.example".to_owned());
        rig.environment.push(public);
        let file = rig.folder().join("tenantry.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let mut file = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&file)
            .unwrap();
        write!(file, "trusted_proxies = [\"127.0.0.0/8\"]\n{text}").unwrap();
        let _server = rig.serve(&[]);
        rig.until("/credentials", |v| v["value"].is_array()).await;
        let http = browser();
        for (path, proto, status) in [
            ("/sign-in", Some("https"), 200),
            ("/sign-in", None, 200),
            ("/sign-in", Some("http"), 421),
            ("/api/v1/companies", Some("http"), 421),
            ("/healthz", Some("http"), 200),
        ] {
            let mut request = http.get(format!("{}{path}", rig.url()));
            if let Some(proto) = proto {
                request = request.header("x-forwarded-proto", proto);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{path} {proto:?}");
            if status == 421 {
                assert!(
                    answer
                        .text()
                        .await
                        .unwrap()
                        .contains("https://portal.example")
                );
            }
        }
    });
}

#[test]
fn a_token_that_asks_too_often_waits() {
    run(|| async {
        let app = TestApp::start_with(Database::Sqlite, World::demo(secret()), false).await;
        let company = app.post("/companies", json!({ "name": "Asked" })).await;
        let path = format!("/api/v1/companies/{}/reports/2999-01", text(&company, "id"));
        let ask = async |token: &str, path: &str| {
            let request = app
                .http
                .get(format!("{}{path}", app.url))
                .bearer_auth(token);
            request.send().await.unwrap()
        };
        let first = ask(&app.token, "/api/v1/companies").await;
        assert_eq!(first.headers()["ratelimit-limit"], "1000");
        let left: i64 = first.headers()["ratelimit-remaining"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((900..1000).contains(&left), "{left}");
        let mut statuses = BTreeMap::new();
        let mut refused = None;
        for _ in 0..70 {
            let answer = ask(&app.token, &path).await;
            *statuses.entry(answer.status().as_u16()).or_insert(0) += 1;
            if answer.status() == 429 {
                refused = Some(answer);
            }
        }
        // Sixty at once, and one more for each second that this took.
        assert!((60..=65).contains(&statuses[&404]), "{statuses:?}");
        let refused = refused.unwrap();
        let wait: i64 = refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
        // What is no file goes on, and so does everybody else.
        assert_eq!(ask(&app.token, "/api/v1/companies").await.status(), 200);
        let other = colleague(&app, "other@halden.example", model::Role::Viewer).await;
        assert_eq!(ask(&other, &path).await.status(), 404);
    });
}
