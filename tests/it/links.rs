//! Links and redirects that lead elsewhere: the token leaves to nobody, no foreign row is taken, and
//! what was known stands.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use sim::{Fault, Kind};

use crate::app::{Database, TestApp, run, text};

/// A server that would answer with a row of its own to whoever comes, and counts them.
fn elsewhere() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::AcqRel);
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let body = r#"{"value":[{"id":"foreign","displayName":"Foreign row","userPrincipalName":"foreign@elsewhere.example"}]}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (port, visits)
}

fn collector<'a>(run: &'a Value, name: &str) -> &'a Value {
    let all = run["collectors"].as_array().unwrap();
    all.iter().find(|c| c["name"] == name).unwrap()
}

async fn names(app: &TestApp, company: &str) -> Vec<String> {
    let users = app.all(&format!("/companies/{company}/users")).await;
    users
        .iter()
        .map(|u| text(u, "user_principal_name"))
        .collect()
}

#[test]
fn no_link_leads_elsewhere() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let before = names(&app, &company).await;
        let (port, visits) = elsewhere();
        let ours = app.sim.address().port();
        let attacks = [
            format!("http://127.0.0.1:{port}/v1.0/users"),
            format!("http://localhost:{port}/v1.0/users"),
            format!("http://127.0.0.1:{ours}@127.0.0.1:{port}/v1.0/users"),
            format!("http://user@127.0.0.1:{ours}/v1.0/users"),
            format!("http://user:word@127.0.0.1:{ours}/v1.0/users"),
            format!("http://127.0.0.1.nip.example:{ours}/v1.0/users"),
            format!("https://127.0.0.1:{ours}/v1.0/users"),
            format!("https://127.0.0.1:{port}/v1.0/users"),
            // Full stops of another script, and digits of another width: parsers make them 127.0.0.1.
            format!("http://127\u{3002}0\u{3002}0\u{3002}1:{port}/v1.0/users"),
            format!("http://\u{ff11}27.0.0.1:{port}/v1.0/users"),
            format!("http://gr\u{e4}ph.example:{port}/v1.0/users"),
            format!("http://127.0.0.1:{ours}\\@127.0.0.1:{port}/v1.0/users"),
            format!("http://127.0.0.1:{ours}/v1.0/users\r\nHost: 127.0.0.1:{port}"),
            format!("http://127.0.0.1.:{port}/v1.0/users"),
            format!("HTTP://127.0.0.1:{port}/v1.0/USERS"),
            format!("http://2130706433:{port}/v1.0/users"),
            format!("http://0x7f.1:{port}/v1.0/users"),
            format!("http://[::1]:{port}/v1.0/users"),
            format!("//127.0.0.1:{port}/v1.0/users"),
            format!("http:127.0.0.1:{port}/v1.0/users"),
            format!("http://127.0.0.1:{ours}/beta/users"),
            format!("http://127.0.0.1:{ours}/v1.0/../beta/users"),
            "file:///etc/passwd".to_owned(),
            "javascript:fetch('http://127.0.0.1')".to_owned(),
            String::new(),
        ];
        let mut refused = 0;
        for to in &attacks {
            for (path, name, kind) in [
                ("/users?", "users", Kind::NextLink { to: to.clone() }),
                ("/users/delta?", "users", Kind::DeltaLink { to: to.clone() }),
                (
                    "/members?",
                    "group_members",
                    Kind::NextLink { to: to.clone() },
                ),
            ] {
                app.sim.clear_faults();
                app.sim.fail_next(Fault::always(path, kind.clone()));
                let run = app.reconcile(&mapping).await;
                let met = collector(&run, name);
                assert!(
                    matches!(met["state"].as_str(), Some("failed" | "partial")),
                    "{kind:?}: {met}"
                );
                assert_eq!(run["state"], "partial", "{kind:?}");
                assert!(
                    text(met, "reason").contains("another server"),
                    "{kind:?}: {met}"
                );
                refused += 1;
            }
        }
        for status in [301, 302, 303, 307, 308] {
            for to in &attacks[..2] {
                app.sim.clear_faults();
                let kind = Kind::Redirect {
                    status,
                    to: to.clone(),
                };
                app.sim.fail_next(Fault::always("/users?", kind));
                let run = app.reconcile(&mapping).await;
                let users = collector(&run, "users");
                assert_eq!(users["state"], "failed", "{status} {to}: {users}");
                assert!(text(users, "reason").contains("redirect"), "{users}");
                refused += 1;
            }
        }
        assert_eq!(visits.load(Ordering::Acquire), 0, "somebody went elsewhere");
        assert_eq!(names(&app, &company).await, before, "rows came or went");
        println!("B17: {refused} links and redirects elsewhere, 0 followed, 0 rows taken");
    });
}

#[test]
fn pages_without_end_are_given_up() {
    run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let (company, mapping) = app.connected("Contoso").await;
        app.drain().await;
        let before = names(&app, &company).await;
        app.sim
            .fail_next(Fault::always("/users?", Kind::EndlessLinks));
        let started = app
            .post("/runs", serde_json::json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true }))
            .await;
        let id = text(&started["value"][0], "id");
        let run = loop {
            // Twenty thousand pages take a while.
            let run = app.get(&format!("/runs/{id}")).await;
            if !matches!(run["state"].as_str(), Some("queued" | "running")) {
                break run;
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        };
        let users = collector(&run, "users");
        assert_eq!(users["state"], "failed", "{users}");
        assert!(text(users, "reason").contains("do not end"), "{users}");
        let pages = users["pages"].as_i64().unwrap();
        assert!((19_000..=20_000).contains(&pages), "{pages}");
        assert_eq!(names(&app, &company).await, before);
        println!("B17: a chain without end was given up after {pages} pages");
    });
}
