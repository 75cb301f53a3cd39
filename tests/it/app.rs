//! The product under test: server, worker and simulated cloud in one process, and the personas that
//! use it.

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use consent::{Connection, Consent};
use graph::{Clouds, Limits, TokenSource, cloud::CustomCloud};
use keys::{FileProvider, Keyring};
use model::{Clock, Db, PartnerId, Role, Scope, api_token, member, partner};
use outbound::Outbound;
use portal::{Portal, Server};
use reqwest::{Client, Response, StatusCode, cookie::Jar, redirect::Policy};
use serde_json::{Value, json};
use sim::{Sim, World};
use sync::{Elsewhere, Runner, Settings, Worker};
use tokio::sync::watch;
use uuid::Uuid;

pub const OWNER: &str = "owner@halden.example";
pub const PASSWORD: &str = "a long enough sentence";

#[derive(Clone)]
pub enum Database {
    Sqlite,
    Postgres(String),
}

/// The PostgreSQL server for tests, without a database: `postgres://user@host:port`.
pub fn postgres_server() -> Option<String> {
    let server = std::env::var("TENANTRY_TEST_POSTGRES").ok();
    if server.is_none() {
        println!("not run on PostgreSQL: TENANTRY_TEST_POSTGRES is not set");
    }
    server
}

/// Runs a test in the kind of runtime that the server needs.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    actix_web::rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
    .block_on(test());
}

pub struct TestApp {
    pub db: Db,
    pub clock: Clock,
    pub sim: Sim,
    pub connection: Connection,
    pub consent: Consent,
    pub partner: PartnerId,
    pub url: String,
    pub token: String,
    pub http: Client,
    pub directory: tempfile::TempDir,
    /// What members may have this server connect to: loopback.
    pub outbound: Outbound,
    /// Whether the wrapping key's service answers.
    pub key_service: Arc<std::sync::atomic::AtomicU8>,
    worker: Option<watch::Sender<bool>>,
    server: actix_web::dev::ServerHandle,
}

/// A PostgreSQL database: as the server's role logs in, and as the role that owns the tables.
#[derive(Debug, Clone)]
pub struct Owned {
    pub url: String,
    pub owner: String,
}

/// A database of its own on a server for tests.
pub async fn fresh_database(server: &str) -> Owned {
    // Process ids come again on a server that is kept between runs.
    let name = format!("t_{}", Uuid::new_v4().simple());
    let status = tokio::process::Command::new("psql")
        .args(["-q", "-d", &format!("{server}/postgres"), "-c"])
        // A role may be there already, or be made by another test at this moment.
        .arg(
            "DO $$ BEGIN CREATE ROLE tenantry_app LOGIN;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        )
        .args(["-c", &format!("CREATE DATABASE {name}")])
        .status()
        .await
        .unwrap();
    assert!(status.success(), "the test database could not be made");
    let owner = format!("{server}/{name}");
    let mut url: url::Url = owner.parse().unwrap();
    url.set_username("tenantry_app").unwrap();
    Owned {
        url: url.into(),
        owner,
    }
}

/// The demo's world with every licence where there is one, so that what a test looks at is not
/// hidden among what is skipped.
pub fn licensed(mut world: World) -> World {
    for directory in &mut world.directories {
        directory.premium_two = directory.premium;
    }
    world
}

impl TestApp {
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, licensed(World::demo(secret())), true).await
    }

    pub async fn start_with(database: Database, world: World, with_worker: bool) -> Self {
        Self::start_in(database, world, with_worker, Limits::None, None).await
    }

    /// In a cloud with these limits and the services of the cloud that it is like.
    pub async fn start_in(
        database: Database,
        world: World,
        with_worker: bool,
        limits: Limits,
        like: Option<&str>,
    ) -> Self {
        // As the product wants it: nobody else looks into it.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let directory = tempfile::Builder::new()
            .permissions(private)
            .tempdir()
            .unwrap();
        let sim = Sim::start(world, ([127, 0, 0, 1], 0).into(), None)
            .await
            .unwrap();
        let file = FileProvider::open_or_create(&directory.path().join("key")).unwrap();
        let (provider, key_service) = crate::renewal::Switch::new(file);
        let keyring = Keyring::new(provider);
        let clock = Clock::system();
        let db = match database {
            Database::Sqlite => {
                let url = format!("sqlite:{}", directory.path().join("t.db").display());
                Db::connect(&url, clock.clone()).await
            }
            Database::Postgres(server) => {
                let Owned { url, owner } = fresh_database(&server).await;
                Db::connect_owned(&url, &owner, clock.clone()).await
            }
        };
        let db = db.unwrap();
        db.migrate().await.unwrap();
        sync::prepare_queue(&db).await.unwrap();
        let clouds = Clouds::new(Some(&CustomCloud {
            login: sim.url().parse().unwrap(),
            graph: sim.url().parse().unwrap(),
            label: Some("Simulated".into()),
            limits: Some(limits),
            like: like.map(str::to_owned),
        }))
        .unwrap();
        let connection = Connection {
            clouds,
            tokens: TokenSource::new(graph::http::client().unwrap()),
            limiter: consent::limits::shared(&db),
            keyring,
        };
        let partner = partner::create(&db, &connection.keyring, "Halden MSP")
            .await
            .unwrap();
        let token = owner(&db, partner, OWNER).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let public_url: url::Url = format!("http://localhost:{port}/").parse().unwrap();
        let consent = Consent {
            connection: connection.clone(),
            redirect_uri: public_url.join("consent/callback").unwrap().to_string(),
        };
        let outbound = Outbound::new(&["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let portal = Portal {
            db: db.clone(),
            consent: consent.clone(),
            public_url: public_url.clone(),
            demo: false,
            outbound: outbound.clone(),
            trusted_proxies: vec![],
        };
        let server = Server::build(portal, listener, 1).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server.run());
        let mut app = Self {
            db,
            clock,
            sim,
            connection,
            consent,
            partner,
            url: public_url.as_str().trim_end_matches('/').to_owned(),
            token,
            http: script(),
            directory,
            outbound,
            key_service,
            worker: None,
            server: handle,
        };
        if with_worker {
            app.start_worker();
        }
        app
    }

    pub fn start_worker(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            runner: Runner {
                db: self.db.clone(),
                consent: self.consent.clone(),
                settings: Settings {
                    concurrency: 2,
                    lease: Duration::from_secs(3),
                    tick: Duration::from_millis(50),
                },
            },
            elsewhere: Elsewhere {
                file: Some(self.directory.path().join("checkpoints")),
                outbound: self.outbound.clone(),
                ..Elsewhere::default()
            },
            public_url: self.url.parse().unwrap(),
        };
        tokio::spawn(worker.run(stopped));
        self.worker = Some(stop);
    }

    /// Forgets the tokens that are held, as a process that starts anew.
    pub fn forget_tokens(&self) {
        self.connection.tokens.forget_all();
    }

    /// Waits until nothing is left to do, and stops the worker.
    pub async fn stop_worker(&mut self) {
        self.drain().await;
        if let Some(stop) = self.worker.take() {
            let _ = stop.send(true);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    pub fn scope(&self) -> Scope {
        Scope::operator(&self.db, self.partner)
    }

    pub fn advance_minutes(&self, minutes: i64) {
        self.clock.advance_ms(minutes * 60_000);
        self.sim.advance(minutes * 60);
    }

    // ---- the API ----

    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.api_as(&self.token, method, path, body).await
    }

    pub async fn api_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .http
            .request(
                method.parse().unwrap(),
                format!("{}/api/v1{path}", self.url),
            )
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.api("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.api("POST", path, Some(body)).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    pub fn application(&self) -> &sim::Application {
        &self.sim.world().applications[0]
    }

    pub async fn credential(&self) -> String {
        let application = self.application();
        let made = self
            .post(
                "/credentials",
                json!({
                    "name": "Main", "cloud": "custom", "directory_id": application.home,
                    "client_id": application.client_id, "client_secret": application.secret,
                }),
            )
            .await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// The directory whose name contains `part`.
    pub fn directory(&self, part: &str) -> &sim::Directory {
        self.sim
            .world()
            .directories
            .iter()
            .find(|d| d.name.contains(part))
            .unwrap()
    }

    /// Consents as a script does: follows the URL of a pinned request. Answers our tenant's id.
    pub async fn consent(&self, credential: &str, directory: Uuid) -> String {
        self.consent_outcome(credential, directory, "granted").await
    }

    /// As [`TestApp::consent`], with another outcome that connects.
    pub async fn consent_outcome(
        &self,
        credential: &str,
        directory: Uuid,
        outcome: &str,
    ) -> String {
        let begun = self
            .post(
                "/consent-requests",
                json!({ "credential_id": credential, "directory_id": directory }),
            )
            .await;
        let followed = reqwest::Client::builder()
            .redirect(Policy::limited(6))
            .cookie_store(true)
            .build()
            .unwrap()
            .get(begun["url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(followed.status(), 200, "{}", followed.text().await.unwrap());
        let done = self
            .get(&format!(
                "/consent-requests/{}",
                begun["id"].as_str().unwrap()
            ))
            .await;
        assert_eq!(done["outcome"], outcome, "{done}");
        done["tenant_id"].as_str().unwrap().to_owned()
    }

    /// Credential, consent and mapping of one directory; answers (company id, mapping id).
    pub async fn connected(&self, name: &str) -> (String, String) {
        let credential = match self.get("/credentials").await["value"]
            .as_array()
            .unwrap()
            .first()
        {
            Some(c) => c["id"].as_str().unwrap().to_owned(),
            None => self.credential().await,
        };
        let tenant = self.consent(&credential, self.directory(name).id).await;
        let mapping = self.post("/mappings", json!({ "tenant_id": tenant })).await;
        (text(&mapping, "company_id"), text(&mapping, "id"))
    }

    /// Waits until a run is settled, then answers it.
    pub async fn settled(&self, run: &str) -> Value {
        self.wait_for(run, |state| {
            !matches!(state, "queued" | "running" | "retrying")
        })
        .await
    }

    pub async fn wait_for(&self, run: &str, is_reached: impl Fn(&str) -> bool) -> Value {
        for _ in 0..1200 {
            let found = self.get(&format!("/runs/{run}")).await;
            if is_reached(found["state"].as_str().unwrap()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "run {run} did not get there: {}",
            self.get(&format!("/runs/{run}")).await
        );
    }

    /// The newest run of a mapping and kind.
    pub async fn newest_run(&self, mapping: &str, kind: &str) -> String {
        let runs = self
            .get(&format!("/runs?mapping_id={mapping}&kind={kind}"))
            .await;
        text(&runs["value"][0], "id")
    }

    /// Sync now of one kind, to its end.
    pub async fn sync(&self, mapping: &str, kind: &str) -> Value {
        let started = self
            .post("/runs", json!({ "mapping_id": mapping, "kind": kind }))
            .await;
        self.settled(&text(&started["value"][0], "id")).await
    }

    /// The same, reading everything anew.
    pub async fn reconcile(&self, mapping: &str) -> Value {
        let asked = json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true });
        let started = self.post("/runs", asked).await;
        self.settled(&text(&started["value"][0], "id")).await
    }

    /// Waits until nothing is open.
    pub async fn drain(&self) {
        for _ in 0..1200 {
            let mut open = 0;
            for state in ["queued", "running"] {
                let runs = self.get(&format!("/runs?state={state}&total=true")).await;
                open += runs["total"].as_u64().unwrap();
            }
            if open == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("runs did not end");
    }

    /// All rows of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{mark}limit=500{after}")).await;
            rows.extend(page["value"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return rows,
            }
        }
    }

    // ---- browsers ----

    pub async fn browser(&self) -> Browser {
        let browser = self.stranger();
        let response = browser
            .post(
                "/sign-in",
                &[("email", OWNER), ("password", PASSWORD), ("next", "")],
            )
            .await;
        assert_eq!(response.status(), 303);
        browser
    }

    pub fn stranger(&self) -> Browser {
        let jar = Arc::new(Jar::default());
        Browser {
            http: Client::builder()
                .cookie_provider(jar.clone())
                .redirect(Policy::none())
                .build()
                .unwrap(),
            url: self.url.clone(),
            jar,
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            let _ = worker.send(true);
        }
        drop(self.server.stop(false));
    }
}

pub fn secret() -> String {
    keys::random_token().unwrap()
}

fn script() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

pub fn text(value: &Value, field: &str) -> String {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {value}"))
        .to_owned()
}

/// An owner with a password and an API token.
pub async fn owner(db: &Db, partner: PartnerId, email: &str) -> String {
    let scope = Scope::operator(db, partner);
    let hash = portal::hash_password(PASSWORD, &[]).await.unwrap();
    let member = member::create(&scope, email, &hash, Role::Owner)
        .await
        .unwrap();
    api_token::create(&scope, member, "test", Role::Owner, None)
        .await
        .unwrap()
}

/// A browser without script: cookies, forms, no automatic redirects.
pub struct Browser {
    pub http: Client,
    pub jar: Arc<Jar>,
    pub url: String,
}

impl Browser {
    pub async fn get(&self, path: &str) -> Response {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.url)
        };
        self.http
            .get(url)
            .header("accept", "text/html")
            .send()
            .await
            .unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "GET {path}");
        response.text().await.unwrap()
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.url)
        };
        let origin = url::Url::parse(&url)
            .unwrap()
            .origin()
            .ascii_serialization();
        self.http
            .post(url)
            .header("accept", "text/html")
            .header("origin", origin)
            .form(form)
            .send()
            .await
            .unwrap()
    }
}

pub fn location(response: &Response) -> String {
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// The parameters of a URL.
pub fn parameters(url: &str) -> Vec<(String, String)> {
    url::Url::parse(url)
        .unwrap()
        .query_pairs()
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect()
}

/// `TENANTRY_SHARED` or the folder beside the checkout, where a machine has it.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(path);
    if found.exists() {
        Some(found)
    } else {
        println!("not checked: {path} is not on this machine");
        None
    }
}
