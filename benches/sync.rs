//! A sync of a large tenant against a floor, in the same run.
//!
//! The floor fetches the same pages, decodes them as JSON values and inserts the bare columns with
//! prepared statements of rusqlite, one transaction per page: no comparison with what was stored, no
//! lease, no audit, no counts. Simulator, product and floor are processes of their own; the cloud is
//! a custom one with Microsoft's limits lifted.
//!
//!   cargo bench -p tenantry-benches --bench sync [-- --users N --groups N --memberships N]
//!
//! Prints the seconds of both, their ratio (the bar: at most 3) and the peak memory of the product's
//! process (the bar: under 150 MB).

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the release binary and reads its output up to a line that begins with `last`.
fn start(args: &[&str], last: &str) -> (Process, String) {
    let mut child = Command::new(binary())
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(Ok(line)) = lines.next() {
        printed.push_str(&line);
        printed.push('\n');
        if line.starts_with(last) {
            break;
        }
    }
    // Nothing more is read: the rest goes nowhere.
    std::thread::spawn(move || for _ in lines {});
    (Process(child), printed)
}

fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    while !path.join("tenantry").is_file() {
        assert!(path.pop(), "build the binary first: cargo build --release");
    }
    path.join("tenantry")
}

fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split(mark)
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
}

fn number(name: &str, or: usize) -> usize {
    let mut arguments = std::env::args();
    arguments.find(|a| a == name);
    arguments.next().and_then(|n| n.parse().ok()).unwrap_or(or)
}

/// Peak resident memory of a process in MB.
fn peak(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    after(&status, "VmHWM:").parse::<f64>().unwrap() / 1024.0
}

struct World {
    root: String,
    tenant: String,
    client_id: String,
    secret: String,
    home: String,
}

async fn token(http: &Client, world: &World) -> String {
    let answer: Value = http
        .post(format!("{}{}/oauth2/v2.0/token", world.root, world.tenant))
        .form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &world.client_id),
            ("client_secret", &world.secret),
            ("scope", &format!("{}.default", world.root)),
        ])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

/// The same requests that the product sends.
fn lists() -> Vec<(&'static str, String)> {
    vec![
        ("users", "/users?$top=999&$select=id,displayName,userPrincipalName,mail,givenName,surname,jobTitle,department,officeLocation,companyName,employeeId,employeeType,usageLocation,userType,externalUserState,accountEnabled,onPremisesSyncEnabled,assignedLicenses,createdDateTime,lastPasswordChangeDateTime".into()),
        ("groups", "/groups?$top=999&$select=id,displayName,description,groupTypes,securityEnabled,mailEnabled,mail,visibility,membershipRule,isAssignableToRole,onPremisesSyncEnabled,createdDateTime".into()),
        ("mfa", "/reports/authenticationMethods/userRegistrationDetails?$top=999".into()),
    ]
}

async fn page(http: &Client, token: &str, url: &str) -> Value {
    http.get(url)
        .bearer_auth(token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Rows of text per table, as bare as the data allows.
fn insert(db: &mut rusqlite::Connection, table: &str, width: usize, rows: &[Vec<Option<String>>]) {
    let tx = db.transaction().unwrap();
    {
        let marks = vec!["?"; width].join(",");
        let mut statement = tx
            .prepare(&format!("INSERT OR REPLACE INTO {table} VALUES ({marks})"))
            .unwrap();
        for row in rows {
            statement.execute(rusqlite::params_from_iter(row)).unwrap();
        }
    }
    tx.commit().unwrap();
}

fn texts(item: &Value, names: &[&str]) -> Vec<Option<String>> {
    names
        .iter()
        .map(|n| match &item[*n] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
        .collect()
}

async fn floor(http: &Client, world: &World, path: &Path) -> Duration {
    let names: [(&str, &[&str]); 4] = [
        (
            "users",
            &[
                "id",
                "displayName",
                "userPrincipalName",
                "mail",
                "givenName",
                "surname",
                "jobTitle",
                "department",
                "officeLocation",
                "companyName",
                "employeeId",
                "employeeType",
                "usageLocation",
                "userType",
                "externalUserState",
                "accountEnabled",
                "onPremisesSyncEnabled",
                "assignedLicenses",
                "createdDateTime",
                "lastPasswordChangeDateTime",
            ],
        ),
        (
            "groups",
            &[
                "id",
                "displayName",
                "description",
                "groupTypes",
                "securityEnabled",
                "mailEnabled",
                "mail",
                "visibility",
                "membershipRule",
                "isAssignableToRole",
                "onPremisesSyncEnabled",
                "createdDateTime",
            ],
        ),
        (
            "mfa",
            &[
                "id",
                "isAdmin",
                "isMfaRegistered",
                "isMfaCapable",
                "isPasswordlessCapable",
                "methodsRegistered",
                "lastUpdatedDateTime",
            ],
        ),
        ("members", &["id", "displayName", "@odata.type"]),
    ];
    let mut db = rusqlite::Connection::open(path).unwrap();
    // The same promises as the product's database.
    db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON")
        .unwrap();
    for (table, columns) in names {
        let list: Vec<String> = columns.iter().map(|c| format!("\"{c}\" TEXT")).collect();
        let (extra, key) = if table == "members" {
            ("g TEXT, ", "g, id")
        } else {
            ("", "id")
        };
        db.execute_batch(&format!(
            "CREATE TABLE {table} ({extra}{}, PRIMARY KEY ({key}))",
            list.join(", ")
        ))
        .unwrap();
    }
    let began = Instant::now();
    let token = token(http, world).await;
    let mut groups = Vec::new();
    for (table, first) in lists() {
        let columns = names.iter().find(|n| n.0 == table).unwrap().1;
        let mut next = Some(format!("{}v1.0{first}", world.root));
        while let Some(url) = next {
            let body = page(http, &token, &url).await;
            let items = body["value"].as_array().unwrap();
            if table == "groups" {
                groups.extend(items.iter().map(|g| g["id"].as_str().unwrap().to_owned()));
            }
            let rows: Vec<_> = items.iter().map(|i| texts(i, columns)).collect();
            insert(&mut db, table, columns.len(), &rows);
            next = body["@odata.nextLink"].as_str().map(str::to_owned);
        }
    }
    let columns = names[3].1;
    // Eight groups at a time, as the product reads them, and the same number of rows a transaction.
    let mut batch = Vec::new();
    for chunk in groups.chunks(8) {
        let mut reads = tokio::task::JoinSet::new();
        for group in chunk {
            let (http, token, group) = (http.clone(), token.clone(), group.clone());
            let url = format!(
                "{}v1.0/groups/{group}/members?$select=id,displayName&$top=999",
                world.root
            );
            reads.spawn(async move {
                let mut rows = Vec::new();
                let mut next = Some(url);
                while let Some(url) = next {
                    let body = page(&http, &token, &url).await;
                    for item in body["value"].as_array().unwrap() {
                        let mut row = vec![Some(group.clone())];
                        row.extend(texts(item, columns));
                        rows.push(row);
                    }
                    next = body["@odata.nextLink"].as_str().map(str::to_owned);
                }
                rows
            });
        }
        while let Some(rows) = reads.join_next().await {
            batch.extend(rows.unwrap());
        }
        if batch.len() >= 2000 {
            insert(&mut db, "members", columns.len() + 1, &batch);
            batch.clear();
        }
    }
    insert(&mut db, "members", columns.len() + 1, &batch);
    began.elapsed()
}

/// The product's own sync, from the request to the end of the run.
async fn product(http: &Client, world: &World, folder: &Path) -> (Duration, f64, Value) {
    let data = folder.join("data");
    let data = data.to_str().unwrap();
    let config = folder.join("tenantry.toml");
    std::fs::write(
        &config,
        format!(
            "[clouds.custom]\nlogin = \"{0}\"\ngraph = \"{0}\"\nlimits = \"none\"\n",
            world.root
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap();
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
        ])
        .output()
        .unwrap();
    let token = after(std::str::from_utf8(&made.stdout).unwrap(), "API token: ").to_owned();
    let (server, printed) = start(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data,
            "--config",
            config,
        ],
        "Tenantry listens",
    );
    let api = format!("{}api/v1", after(&printed, "listens on "));
    let send = async |path: &str, body: Option<Value>| -> Value {
        let request = match body {
            Some(body) => http.post(format!("{api}{path}")).json(&body),
            None => http.get(format!("{api}{path}")),
        };
        request
            .bearer_auth(&token)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    };
    let credential = send(
        "/credentials",
        Some(json!({ "name": "Bench", "cloud": "custom",
        "directory_id": world.home, "client_id": world.client_id, "client_secret": world.secret })),
    )
    .await;
    let begun = send(
        "/consent-requests",
        Some(json!({ "credential_id": credential["id"], "directory_id": world.tenant })),
    )
    .await;
    http.get(begun["url"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let tenants = send("/tenants", None).await;
    let mapping = send(
        "/mappings",
        Some(json!({ "tenant_id": tenants["value"][0]["id"] })),
    )
    .await;
    let runs = format!(
        "/runs?kind=directory&mapping_id={}",
        mapping["id"].as_str().unwrap()
    );
    let began = Instant::now();
    let run = loop {
        let found = send(&runs, None).await["value"][0].clone();
        match found["state"].as_str().unwrap() {
            "queued" | "running" => tokio::time::sleep(Duration::from_millis(50)).await,
            "completed" => break found,
            other => panic!("the run ended {other}: {found}"),
        }
        assert!(
            began.elapsed() < Duration::from_secs(900),
            "the run does not end"
        );
    };
    let took = began.elapsed();
    let detail = send(&format!("/runs/{}", run["id"].as_str().unwrap()), None).await;
    (took, peak(server.0.id()), detail)
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let (users, groups, memberships) = (
        number("--users", 100_000),
        number("--groups", 2_000),
        number("--memberships", 100_000),
    );
    let (_sim, printed) = start(
        &[
            "sim",
            "--sim-listen",
            "127.0.0.1:0",
            "--users",
            &users.to_string(),
            "--groups",
            &groups.to_string(),
            "--memberships",
            &memberships.to_string(),
        ],
        "graph =",
    );
    let tenant = printed
        .lines()
        .find(|l| l.ends_with("Measured Works"))
        .unwrap();
    let world = World {
        root: after(&printed, "cloud: ").to_owned(),
        tenant: after(tenant, "Directory: ").to_owned(),
        client_id: after(&printed, "Client ID: ").to_owned(),
        secret: after(&printed, "Client secret: ").to_owned(),
        home: after(&printed, "Tenant ID: ").to_owned(),
    };
    let http = Client::builder()
        .no_proxy()
        .cookie_store(true)
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    println!("{users} users, {groups} groups, {memberships} memberships, MFA registration");
    let (took, memory, run) = product(&http, &world, folder.path()).await;
    for collector in run["collectors"].as_array().unwrap() {
        println!(
            "  {:<18} {:>7} read, {:>5} requests",
            collector["name"].as_str().unwrap(),
            collector["read"],
            collector["requests"]
        );
    }
    let bare = floor(&http, &world, &folder.path().join("floor.db")).await;
    let (took, bare) = (took.as_secs_f64(), bare.as_secs_f64());
    println!("product: {took:.1} s");
    println!("floor:   {bare:.1} s");
    println!("ratio:   {:.2} (bar: at most 3)", took / bare);
    println!("peak memory of the product: {memory:.0} MB (bar: under 150)");
    assert!(took / bare <= 3.0 && memory < 150.0, "a bar is not held");
}
