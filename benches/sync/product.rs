//! The product in a process, through its API.

use std::{path::Path, process::Command, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};

use crate::{
    process::{Process, after, binary, flag, start},
    sim::Sim,
};

/// What is read; the first is a run of its own, which the many small tenants do without.
pub const FEATURES: &[&str] = &[
    "activity",
    "mfa",
    "devices",
    "managed_devices",
    "policies",
    "risk",
    "eligibility",
];

/// The product in a process, connected as a partner would.
pub struct Product {
    pub http: Client,
    pub api: String,
    pub token: String,
    pub server: Process,
    pub credential: Value,
}

impl Product {
    /// `database` is PostgreSQL's, or none for SQLite. With a worker, or without.
    pub async fn start(
        sim: &Sim,
        features: &[&str],
        folder: &Path,
        database: Option<&(String, String)>,
        has_worker: bool,
    ) -> Self {
        let Sim {
            root,
            home,
            client_id,
            secret,
            ..
        } = sim;
        let data = folder.join("data");
        let data = data.to_str().unwrap();
        let config = folder.join("tenantry.toml");
        let limits = if flag("--limits") {
            "microsoft"
        } else {
            "none"
        };
        let mut toml = format!(
            "[clouds.custom]\nlogin = \"{root}\"\ngraph = \"{root}\"\nlimits = \"{limits}\"\n"
        );
        if let Some((url, owner)) = database {
            let place = format!("database_url = \"{url}\"\ndatabase_owner_url = \"{owner}\"\n");
            toml.insert_str(0, &place);
        }
        std::fs::write(&config, toml).unwrap();
        let made = Command::new(binary())
            .args([
                "partner",
                "add",
                "Bench",
                "--owner",
                "o@bench.example",
                "--token",
                "--data-dir",
                data,
                "--config",
                config.to_str().unwrap(),
            ])
            .output()
            .unwrap();
        let token = after(std::str::from_utf8(&made.stdout).unwrap(), "API token: ").to_owned();
        let config = config.to_str().unwrap();
        let mut arguments = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data,
            "--config",
            config,
        ];
        if !has_worker {
            arguments.push("--no-worker");
        }
        let (server, printed) = start(&arguments, "Tenantry listens");
        let http = Client::builder()
            .no_proxy()
            .cookie_store(true)
            .build()
            .unwrap();
        let mut product = Self {
            http,
            api: format!("{}api/v1", after(&printed, "listens on ")),
            token,
            server,
            credential: Value::Null,
        };
        product.credential = product
            .send(
                "/credentials",
                Some(
                    json!({ "name": "Bench", "cloud": "custom", "directory_id": home,
                "client_id": client_id, "features": features, "client_secret": secret }),
                ),
            )
            .await;
        product
    }

    pub async fn send(&self, path: &str, body: Option<Value>) -> Value {
        let request = match body {
            Some(body) => self.http.post(format!("{}{path}", self.api)).json(&body),
            None => self.http.get(format!("{}{path}", self.api)),
        };
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        answer.json().await.unwrap()
    }

    pub async fn consent(&self, tenant: &str) {
        let body = json!({ "credential_id": self.credential["id"], "directory_id": tenant });
        let begun = self.send("/consent-requests", Some(body)).await;
        self.http
            .get(begun["url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
    }

    /// Waits for the newest run of a kind of a mapping; answers it.
    pub async fn ended(&self, mapping: &str, kind: &str) -> Value {
        loop {
            let found = self
                .send(
                    &format!("/runs?kind={kind}&mapping_id={mapping}&limit=1"),
                    None,
                )
                .await;
            let run = &found["value"][0];
            match run["state"].as_str() {
                None | Some("queued" | "running") => {
                    // Asking costs the product time as well: with limits it waits for minutes.
                    let pause = if flag("--limits") { 500 } else { 20 };
                    tokio::time::sleep(Duration::from_millis(pause)).await
                }
                Some("completed" | "partial") => {
                    let id = run["id"].as_str().unwrap();
                    return self.send(&format!("/runs/{id}"), None).await;
                }
                Some(other) => panic!("the run ended {other}: {run}"),
            }
        }
    }

    /// Whether runs of directories have not ended.
    pub async fn is_busy(&self) -> bool {
        for state in ["queued", "running", "retrying"] {
            let path = format!("/runs?kind=directory&state={state}&limit=1");
            let page = self.send(&path, None).await;
            if !page["value"].as_array().unwrap().is_empty() {
                return true;
            }
        }
        false
    }

    /// Requests of all runs.
    pub async fn requests(&self) -> i64 {
        let (mut sum, mut cursor) = (0, String::new());
        loop {
            let page = self.send(&format!("/runs?limit=100{cursor}"), None).await;
            for run in page["value"].as_array().unwrap() {
                let path = format!("/runs/{}", run["id"].as_str().unwrap());
                sum += requests(&self.send(&path, None).await);
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&after={next}"),
                None => return sum,
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.server.0.id()
    }
}

pub fn requests(run: &Value) -> i64 {
    let collectors = run["collectors"].as_array().unwrap();
    collectors
        .iter()
        .map(|c| c["requests"].as_i64().unwrap())
        .sum()
}

/// Seconds that the collector waited at limits that waited longest.
pub fn longest_wait(run: &Value) -> f64 {
    let collectors = run["collectors"].as_array().unwrap();
    let waits = collectors.iter().map(|c| c["waited_ms"].as_f64().unwrap());
    waits.fold(0.0, f64::max) / 1000.0
}

pub fn print_collectors(run: &Value) {
    let time = |name: &str| run[name].as_str().unwrap_or("?").to_owned();
    println!(
        "  {} asked {} began {} ended {}",
        run["kind"].as_str().unwrap(),
        time("created_at"),
        time("started_at"),
        time("finished_at")
    );
    for c in run["collectors"].as_array().unwrap() {
        println!(
            "  {:<30} {:>8} read {:>6} requests {:>7} ms waited  {} {}",
            c["name"].as_str().unwrap(),
            c["read"],
            c["requests"],
            c["waited_ms"],
            c["state"].as_str().unwrap(),
            c["reason"].as_str().unwrap_or_default()
        );
    }
}
