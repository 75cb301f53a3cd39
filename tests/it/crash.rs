//! kill -9 in the middle of a sync, then start: the run completes by itself and the tables are those
//! of an undisturbed run. The real binary, SQLite, a simulated cloud that is slow enough to be killed
//! in.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use sim::{Fault, Kind};

use crate::app::{Database, TestApp, text};

/// The binary beside the test's own.
fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("tenantry")
}

struct Process(Child);

impl Process {
    fn start(folder: &Path, port: u16) -> Self {
        let config = folder.join("tenantry.toml");
        let child = Command::new(binary())
            .args(["serve", "--data-dir"])
            .arg(folder.join("data"))
            .args(["--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        // SIGKILL: no handler runs.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Everything that readers see of what syncs wrote, without times and random ids; and that nothing
/// else is left behind.
fn dump(data: &Path) -> String {
    let db = rusqlite::Connection::open(data.join("tenantry.db")).unwrap();
    let mut out = String::new();
    // Sign-in activity has runs of its own, which nobody waits for here.
    let tables = model::inventory::TABLES.iter();
    for table in tables.filter(|t| t.kind != model::RunKind::SignInActivity) {
        let (name, kind) = (table.name, table.kind);
        let published = format!(
            "(SELECT published FROM snapshots s WHERE s.mapping_id = t.mapping_id AND s.kind = '{kind}')"
        );
        let half: i64 = db
            .query_row(
                &format!("SELECT COUNT(*) FROM {name} t WHERE t.since > {published} OR (t.until > {published} AND t.until < {})", i64::MAX),
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(half, 0, "half a sync is left in {name}");
        let list: Vec<String> = table
            .parent
            .iter()
            .chain(["id"].iter())
            .chain(table.columns.iter().map(|(column, _)| column))
            .map(|column| format!("quote({column})"))
            .collect();
        let rows: Vec<String> = db
            .prepare(&format!(
                "SELECT {} FROM {name} t WHERE t.since <= {published} AND t.until > {published} ORDER BY 1",
                list.join(" || '|' || ")
            ))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        out.push_str(&format!("{name}: {}\n{}\n", rows.len(), rows.join("\n")));
    }
    out
}

struct Client {
    http: reqwest::Client,
    root: String,
    token: String,
}

impl Client {
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let mut request = self
            .http
            .request(
                method.parse().unwrap(),
                format!("{}/api/v1{path}", self.root),
            )
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.ok()?.json().await.ok()
    }

    async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..1200 {
            if let Some(found) = self.send("GET", path, None).await
                && is_so(&found)
            {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{path} did not get there: {:?}",
            self.send("GET", path, None).await
        );
    }
}

/// A sync of Tailspin in a process of its own, killed `kills` times on its way; answers the dump.
async fn synced(app: &TestApp, port: u16, kills: usize) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tenantry.toml"), format!(
        "[clouds.custom]\nlogin = \"{0}\"\ngraph = \"{0}\"\nlimits = \"none\"\n[worker]\nlease_seconds = 2\n", app.sim.url())).unwrap();
    let made = Command::new(binary())
        .args([
            "partner",
            "add",
            "Halden",
            "--owner",
            "o@halden.example",
            "--token",
            "--data-dir",
        ])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    let printed = String::from_utf8(made.stdout).unwrap();
    assert!(printed.contains("Invitation: http://"), "{printed}");
    let token = printed
        .lines()
        .find_map(|l| l.strip_prefix("API token: "))
        .unwrap()
        .to_owned();
    let mut process = Process::start(folder.path(), port);
    let client = Client {
        http: reqwest::Client::builder()
            .cookie_store(true)
            .build()
            .unwrap(),
        root: format!("http://127.0.0.1:{port}"),
        token,
    };
    client
        .until("/credentials", |v| v["value"].is_array())
        .await;
    let application = app.application();
    let credential = client
        .send(
            "POST",
            "/credentials",
            Some(json!({
        "name": "Main", "cloud": "custom", "directory_id": application.home,
        "client_id": application.client_id, "client_secret": application.secret })),
        )
        .await
        .unwrap();
    let directory = app.directory("Tailspin").id;
    let begun = client
        .send(
            "POST",
            "/consent-requests",
            Some(json!({ "credential_id": credential["id"], "directory_id": directory })),
        )
        .await
        .unwrap();
    client
        .http
        .get(begun["url"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let tenants = client.send("GET", "/tenants", None).await.unwrap();
    // Each page takes a while, so that a kill meets the middle.
    app.sim.clear_faults();
    if kills > 0 {
        app.sim
            .fail_next(Fault::always("/v1.0/users?", Kind::Slow { ms: 250 }));
    }
    let mapping = client
        .send(
            "POST",
            "/mappings",
            Some(json!({ "tenant_id": tenants["value"][0]["id"] })),
        )
        .await
        .unwrap();
    let runs = format!("/runs?mapping_id={}&kind=directory", text(&mapping, "id"));
    for kill in 0..kills {
        let is_amid =
            |v: &Value| v["value"][0]["state"] == "running" && v["value"][0]["attempt"] == kill + 1;
        client.until(&runs, is_amid).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        process.kill();
        process = Process::start(folder.path(), port);
    }
    let ended = client
        .until(&runs, |v| v["value"][0]["state"] == "completed")
        .await;
    assert_eq!(
        ended["value"].as_array().unwrap().len(),
        1,
        "the same run went on: {ended}"
    );
    assert_eq!(
        ended["value"][0]["attempt"].as_u64().unwrap(),
        kills as u64 + 1
    );
    client
        .until("/runs?kind=secure_score", |v| {
            v["value"][0]["state"] == "completed"
        })
        .await;
    process.kill();
    dump(&folder.path().join("data"))
}

#[test]
fn kill_9_amid_a_sync_changes_nothing_in_the_end() {
    crate::app::run(|| async {
        let app = TestApp::start(Database::Sqlite).await;
        let free = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port()
        };
        let undisturbed = synced(&app, free(), 0).await;
        assert!(undisturbed.contains("users: 5000"));
        let killed = synced(&app, free(), 2).await;
        assert!(undisturbed == killed, "the tables differ");
    });
}
