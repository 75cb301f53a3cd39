//! Syncs against their floor: simulator, product and floor are processes of their own; the cloud is
//! a custom one with Microsoft's limits lifted.
//!
//!   cargo bench -p tenantry-benches --bench sync -- [--users N --groups N --memberships N --devices N]
//!   cargo bench -p tenantry-benches --bench sync -- --limits [--users N …]
//!   TENANTRY_PYTHON=… cargo bench -p tenantry-benches --bench sync -- --peer [--users N …]
//!   cargo bench -p tenantry-benches --bench sync -- --tenants N --users N [--processes N]
//!
//! The first is one large tenant: (a) its first sync with devices, MFA and sign-in activity against
//! the floor (the bar: at most 2.0 in processor time and in wall time, under 150 MB), and (b) a
//! second one with 1 % of the users changed against the first (the bar: 3 % of the requests, 10 % of
//! the time). The second is the same with Microsoft's limits kept. The third adds
//! (d), a script on Microsoft's own SDK (the bar: 100 times its users per second of processor time).
//! The last is many small tenants through one worker against the sum of their floors (the bar: 1.5),
//! or through several processes on PostgreSQL against one (the bar: 1.6 times as fast with four).

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    unreachable_pub
)]

mod floor;
mod process;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use floor::World;
use process::{Process, after, binary, cpu, flag, loopback, machine, number, peak, start};
use reqwest::Client;
use serde_json::{Value, json};

/// What something cost.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    cpu: f64,
    requests: i64,
    bytes: u64,
    peak: f64,
}

impl Cost {
    fn print(&self, name: &str) {
        println!(
            "{name:<28} {:>8.2} s wall {:>8.2} s cpu {:>7} requests {:>6} MB read {:>6.0} MB peak",
            self.wall,
            self.cpu,
            self.requests,
            self.bytes / 1_000_000,
            self.peak
        );
    }
}

/// What is read; the first is a run of its own, which the many small tenants do without.
const FEATURES: &[&str] = &[
    "activity",
    "mfa",
    "devices",
    "managed_devices",
    "policies",
    "risk",
    "eligibility",
];

/// The product in a process, connected as a partner would.
struct Product {
    http: Client,
    api: String,
    token: String,
    server: Process,
    credential: Value,
}

impl Product {
    /// `database` is PostgreSQL's, or none for SQLite. With a worker, or without.
    async fn start(
        sim: &Sim,
        features: &[&str],
        folder: &Path,
        database: Option<&str>,
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
        if let Some(database) = database {
            toml.insert_str(0, &format!("database_url = \"{database}\"\n"));
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

    async fn send(&self, path: &str, body: Option<Value>) -> Value {
        let request = match body {
            Some(body) => self.http.post(format!("{}{path}", self.api)).json(&body),
            None => self.http.get(format!("{}{path}", self.api)),
        };
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn consent(&self, tenant: &str) {
        let body = json!({ "credential_id": self.credential["id"], "directory_id": tenant });
        let begun = self.send("/consent-requests", Some(body)).await;
        self.http
            .get(begun["url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
    }

    /// Waits for the newest run of a kind of a mapping; answers it.
    async fn ended(&self, mapping: &str, kind: &str) -> Value {
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
                    tokio::time::sleep(Duration::from_millis(20)).await
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
    async fn is_busy(&self) -> bool {
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
    async fn requests(&self) -> i64 {
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

    fn pid(&self) -> u32 {
        self.server.0.id()
    }
}

fn requests(run: &Value) -> i64 {
    let collectors = run["collectors"].as_array().unwrap();
    collectors
        .iter()
        .map(|c| c["requests"].as_i64().unwrap())
        .sum()
}

fn print_collectors(run: &Value) {
    for c in run["collectors"].as_array().unwrap() {
        println!(
            "  {:<30} {:>8} read {:>6} requests  {}",
            c["name"].as_str().unwrap(),
            c["read"],
            c["requests"],
            c["state"].as_str().unwrap()
        );
    }
}

/// Starts this program again as the floor.
fn run_floor(world: &World, folder: &Path) -> Cost {
    let bytes = loopback();
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--floor")
        .arg(folder.join("floor.db"))
        .args([&world.root, &world.client_id, &world.secret])
        .args(&world.tenants)
        .output()
        .unwrap();
    cost(
        &String::from_utf8(output.stdout).unwrap(),
        loopback() - bytes,
    )
}

/// Starts the peer: a script on Microsoft's SDK, with the Python that `TENANTRY_PYTHON` names.
fn run_peer(world: &World, folder: &Path) -> Cost {
    let python = std::env::var("TENANTRY_PYTHON").unwrap_or_else(|_| {
        panic!("name a Python with tests/python/requirements.txt in TENANTRY_PYTHON")
    });
    let bytes = loopback();
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("sync/peer.py"))
        .args([
            &world.root,
            &world.tenants[0],
            &world.client_id,
            &world.secret,
        ])
        .arg(folder.join("peer.db"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    cost(
        &String::from_utf8(output.stdout).unwrap(),
        loopback() - bytes,
    )
}

/// What a measured program says of itself.
fn cost(printed: &str, bytes: u64) -> Cost {
    let field = |name: &str| after(printed, &format!("{name}=")).parse::<f64>().unwrap();
    #[allow(clippy::cast_possible_truncation)]
    Cost {
        wall: field("wall"),
        cpu: field("cpu"),
        requests: field("requests") as i64,
        bytes,
        peak: field("peak"),
    }
}

struct Sim {
    process: Process,
    root: String,
    client_id: String,
    secret: String,
    home: String,
    tenants: Vec<String>,
}

fn start_sim(args: &[&str], prefix: &str) -> Sim {
    let mut all = vec!["sim", "--sim-listen", "127.0.0.1:0"];
    all.extend(args);
    let (process, printed) = start(&all, "graph =");
    let lines = printed
        .lines()
        .filter(|line| line.starts_with("Directory: "));
    let wanted = lines.filter(|line| {
        line.split_once(' ')
            .unwrap()
            .1
            .split_once(' ')
            .unwrap()
            .1
            .starts_with(prefix)
    });
    Sim {
        root: after(&printed, "cloud: ").to_owned(),
        client_id: after(&printed, "Client ID: ").to_owned(),
        secret: after(&printed, "Client secret: ").to_owned(),
        home: after(&printed, "Tenant ID: ").to_owned(),
        tenants: wanted
            .map(|line| after(line, "Directory: ").to_owned())
            .collect(),
        process,
    }
}

impl Sim {
    fn world(&self) -> World {
        World {
            root: self.root.clone(),
            tenants: self.tenants.clone(),
            client_id: self.client_id.clone(),
            secret: self.secret.clone(),
        }
    }
}

async fn one_tenant(folder: &Path) -> bool {
    let [users, groups, memberships] = [
        number("--users", 100_000),
        number("--groups", 2_000),
        number("--memberships", 100_000),
    ];
    let devices = number("--devices", users * 2 / 3);
    let texts = [users, groups, memberships, devices].map(|n| n.to_string());
    let sim = start_sim(
        &[
            "--users",
            &texts[0],
            "--groups",
            &texts[1],
            "--memberships",
            &texts[2],
            "--devices",
            &texts[3],
        ],
        "Measured Works",
    );
    println!(
        "{users} users, {groups} groups, {memberships} memberships, {devices} devices, MFA, sign-in activity"
    );
    let product = Product::start(&sim, FEATURES, folder, None, true).await;
    product.consent(&sim.tenants[0]).await;
    let tenants = product.send("/tenants", None).await;
    // The plan begins sign-in activity by itself; it is counted with the first sync.
    let (began, before, bytes) = (Instant::now(), cpu(product.pid()), loopback());
    let body = json!({ "tenant_id": tenants["value"][0]["id"] });
    let mapping = product.send("/mappings", Some(body)).await;
    let id = mapping["id"].as_str().unwrap().to_owned();
    product
        .send(
            "/runs",
            Some(json!({ "mapping_id": id, "kind": "sign_in_activity" })),
        )
        .await;
    let directory = product.ended(&id, "directory").await;
    let directory_wall = began.elapsed().as_secs_f64();
    let activity = product.ended(&id, "sign_in_activity").await;
    let first = Cost {
        wall: began.elapsed().as_secs_f64(),
        cpu: (cpu(product.pid()) - before).as_secs_f64(),
        requests: requests(&directory) + requests(&activity),
        bytes: loopback() - bytes,
        peak: peak(product.pid()),
    };
    print_collectors(&directory);
    print_collectors(&activity);
    let floor = run_floor(&sim.world(), folder);
    floor.print("floor");
    first.print("(a) product, first sync");
    println!("    of which the directory     {directory_wall:>8.2} s wall");
    let (wall, used) = (first.wall / floor.wall, first.cpu / floor.cpu);
    println!(
        "    ratio {wall:.2} wall, {used:.2} cpu (bar: 2.0), {:.0} MB (bar: 150)",
        first.peak
    );
    let peer_held = match flag("--peer") {
        false => true,
        true => {
            let peer = run_peer(&sim.world(), folder);
            peer.print("(d) msgraph-sdk for Python");
            let ratio = peer.cpu / first.cpu;
            println!(
                "    {ratio:.0} times the peer's users per second of processor time (bar: 100)"
            );
            ratio >= 100.0
        }
    };
    let changed = product
        .http
        .post(format!("{}_sim/changes", sim.root))
        .form(&[("directory", sim.tenants[0].as_str()), ("every", "100")])
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let (began, before, bytes) = (Instant::now(), cpu(product.pid()), loopback());
    product
        .send(
            "/runs",
            Some(json!({ "mapping_id": id, "kind": "directory" })),
        )
        .await;
    let run = product.ended(&id, "directory").await;
    let second = Cost {
        wall: began.elapsed().as_secs_f64(),
        cpu: (cpu(product.pid()) - before).as_secs_f64(),
        requests: requests(&run),
        bytes: loopback() - bytes,
        peak: peak(product.pid()),
    };
    print_collectors(&run);
    second.print(&format!("(b) second, {changed} changed"));
    #[allow(clippy::cast_precision_loss)]
    let share = 100.0 * second.requests as f64 / first.requests as f64;
    let time = 100.0 * second.wall / first.wall;
    println!("    {share:.1} % of the requests (bar: 3), {time:.1} % of the time (bar: 10)");
    wall <= 2.0 && used <= 2.0 && first.peak < 150.0 && share <= 3.0 && time <= 10.0 && peer_held
}

/// Every tenant synced once by so many workers, each a process of its own.
async fn drained(
    sim: &Sim,
    folder: &Path,
    processes: usize,
    database: Option<&str>,
) -> (Cost, Product) {
    std::fs::create_dir(folder).unwrap();
    let product = Product::start(sim, &FEATURES[1..], folder, database, false).await;
    for tenant in &sim.tenants {
        product.consent(tenant).await;
    }
    let mut cursor = String::new();
    loop {
        let page = product
            .send(&format!("/tenants?limit=100{cursor}"), None)
            .await;
        for tenant in page["value"].as_array().unwrap() {
            product
                .send("/mappings", Some(json!({ "tenant_id": tenant["id"] })))
                .await;
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&after={next}"),
            None => break,
        }
    }
    let (data, config) = (folder.join("data"), folder.join("tenantry.toml"));
    let arguments = [
        "work",
        "--data-dir",
        data.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ];
    let (began, before) = (Instant::now(), (cpu(sim.process.0.id()), machine()));
    let bytes = loopback();
    let workers: Vec<Process> = (0..processes)
        .map(|_| start(&arguments, "Worker started").0)
        .collect();
    while product.is_busy().await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut cost = Cost {
        wall: began.elapsed().as_secs_f64(),
        bytes: loopback() - bytes,
        ..Cost::default()
    };
    for worker in &workers {
        cost.cpu += cpu(worker.0.id()).as_secs_f64();
        cost.peak = cost.peak.max(peak(worker.0.id()));
    }
    let busy = machine() - before.1;
    let simulator = cpu(sim.process.0.id()) - before.0;
    println!(
        "    of {:.0} s of processor time that the machine has in {:.0} s, {:.0} were used: the simulator {:.1}, the workers {:.1}, all else (the database server with it) {:.1}",
        cost.wall * cores(),
        cost.wall,
        busy.as_secs_f64(),
        simulator.as_secs_f64(),
        cost.cpu,
        (busy - simulator).as_secs_f64() - cost.cpu,
    );
    cost.requests = product.requests().await;
    (cost, product)
}

async fn many_tenants(tenants: usize, folder: &Path) -> bool {
    let users = number("--users", 100);
    let texts = [tenants, users].map(|n| n.to_string());
    let sim = start_sim(&["--users", &texts[1], "--tenants", &texts[0]], "Customer ");
    println!("{tenants} tenants of {users} users");
    let processes = number("--processes", 1);
    if processes > 1 {
        let one = drained(&sim, &folder.join("one"), 1, Some(&postgres()))
            .await
            .0;
        one.print("(c) one process");
        let database = postgres();
        let folder = folder.join("many");
        let many = drained(&sim, &folder, processes, Some(&database)).await.0;
        many.print(&format!("(c) {processes} processes"));
        let scale = one.wall / many.wall;
        println!("    {scale:.2} times as fast (bar: 1.6)");
        return scale >= 1.6;
    }
    let (cost, _product) = drained(&sim, &folder.join("one"), 1, None).await;
    let floor = run_floor(&sim.world(), folder);
    floor.print("sum of the floors");
    cost.print("(c) one worker");
    println!(
        "    ratio {:.2} wall, {:.2} cpu (bar: 1.5 in wall time)",
        cost.wall / floor.wall,
        cost.cpu / floor.cpu
    );
    cost.wall / floor.wall < 1.5
}

#[allow(clippy::cast_precision_loss)]
fn cores() -> f64 {
    std::thread::available_parallelism().unwrap().get() as f64
}

/// A new database on the server for tests (`scripts/postgres start DIR` starts one and says how to
/// name it).
fn postgres() -> String {
    let server = std::env::var("TENANTRY_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("start a server first: eval \"$(./scripts/postgres start DIR)\"")
    });
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let name = format!("bench_{}", began.as_millis());
    let made = Command::new("psql")
        .args(["-q", "-d", &format!("{server}/postgres"), "-c"])
        .arg(format!("CREATE DATABASE {name}"))
        .status()
        .unwrap();
    assert!(made.success(), "the database could not be made");
    format!("{server}/{name}")
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--floor") {
        let [path, root, client_id, secret] =
            std::array::from_fn(|i| arguments[at + 1 + i].clone());
        let tenants = arguments[at + 5..].to_vec();
        return floor::run(
            World {
                root,
                tenants,
                client_id,
                secret,
            },
            Path::new(&path),
        )
        .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let held = match number("--tenants", 0) {
        0 => one_tenant(folder.path()).await,
        tenants => many_tenants(tenants, folder.path()).await,
    };
    assert!(held, "a bar is not held");
}
