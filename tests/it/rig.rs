//! The real binary in processes of its own, on SQLite or PostgreSQL, against a simulated cloud in
//! this one: what the rigs and the crash test are made of.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::app::{Owned, TestApp, text};

/// The binary beside the test's own, or the one that `TENANTRY_BINARY` names.
pub fn binary() -> PathBuf {
    if let Ok(path) = std::env::var("TENANTRY_BINARY") {
        return path.into();
    }
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("tenantry")
}

/// A number that the environment gives, or this one.
pub fn number(name: &str, or: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(or)
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub struct Process(Child);

impl Process {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL: no handler runs.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An installation with a partner: its folder, and who speaks to it.
pub struct Installation {
    folder: tempfile::TempDir,
    port: u16,
    http: reqwest::Client,
    pub token: String,
    /// The link by which its owner joins.
    pub invitation: String,
    postgres: Option<Owned>,
    /// What its processes find in their environment besides.
    pub environment: Vec<(&'static str, String)>,
}

impl Installation {
    /// On SQLite, or in this database.
    pub fn new(app: &TestApp, postgres: Option<Owned>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut toml = format!(
            "[clouds.custom]\nlogin = \"{0}\"\ngraph = \"{0}\"\nlimits = \"none\"\n[outbound]\nallow = [\"127.0.0.0/8\"]\n[worker]\nlease_seconds = {1}\n",
            app.sim.url(),
            number("TENANTRY_LEASE", 4),
        );
        if let Some(Owned { url, owner }) = &postgres {
            let place = format!("database_url = \"{url}\"\ndatabase_owner_url = \"{owner}\"\n");
            toml.insert_str(0, &place);
        }
        std::fs::write(folder.path().join("tenantry.toml"), toml).unwrap();
        let mut this = Self {
            folder,
            port: free_port(),
            http: reqwest::Client::builder()
                .cookie_store(true)
                .timeout(Duration::from_secs(10))
                .build()
                .unwrap(),
            token: String::new(),
            invitation: String::new(),
            postgres,
            environment: vec![],
        };
        let add = [
            "partner",
            "add",
            "Halden",
            "--owner",
            "o@halden.example",
            "--token",
        ];
        let made = this.command(&add, &[]).output().unwrap();
        let printed = String::from_utf8(made.stdout).unwrap();
        let invitation = printed.lines().find_map(|l| l.strip_prefix("Invitation: "));
        this.invitation = invitation.unwrap().to_owned();
        let token = printed.lines().find_map(|l| l.strip_prefix("API token: "));
        this.token = token.unwrap().to_owned();
        this
    }

    pub fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data())
            .arg("--config")
            .arg(self.folder.path().join("tenantry.toml"))
            .envs(self.environment.iter().map(|(name, value)| (*name, value)))
            .envs(environment.iter().copied());
        command
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Everything that it wrote is in here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Server and worker, or with other arguments.
    pub fn serve(&self, more: &[&str]) -> Process {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut arguments = vec!["serve", "--listen", &listen];
        arguments.extend(more);
        self.spawn(&arguments, &[])
    }

    /// A worker alone.
    pub fn work(&self, environment: &[(&str, &str)]) -> Process {
        self.spawn(&["work"], environment)
    }

    fn spawn(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let child = self
            .command(arguments, environment)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Process(child)
    }

    /// What the processes said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks the API; `None` when nobody answers.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1{path}", self.port);
        let mut request = self
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        // A server whose database is away says so; whoever asked comes again.
        if answer.status().is_server_error() {
            return None;
        }
        answer.json().await.ok()
    }

    /// Asks until somebody answers.
    pub async fn insist(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        for _ in 0..600 {
            if let Some(answer) = self.send(method, path, body.clone()).await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody answers {method} {path}\n{}", self.log());
    }

    pub async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6000 {
            if let Some(found) = self.send("GET", path, None).await
                && is_so(&found)
            {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last = self.send("GET", path, None).await;
        panic!("{path} did not get there: {last:?}\n{}", self.log());
    }

    /// Adds the credential; answers its id.
    pub async fn credential(&self, app: &TestApp) -> String {
        self.until("/credentials", |v| v["value"].is_array()).await;
        let application = app.application();
        let body = json!({
            "name": "Main", "cloud": "custom", "directory_id": application.home,
            "client_id": application.client_id, "client_secret": application.secret,
            // Sign-in activity has runs of its own, which nobody waits for here.
            "features": ["secure_score", "mfa", "devices", "managed_devices", "policies", "risk", "eligibility"],
        });
        let made = self.insist("POST", "/credentials", Some(body)).await;
        text(&made, "id")
    }

    /// Consents to a directory and maps it; answers the mapping's id.
    pub async fn connect(&self, credential: &str, directory: uuid::Uuid) -> String {
        let body = json!({ "credential_id": credential, "directory_id": directory });
        let begun = self.insist("POST", "/consent-requests", Some(body)).await;
        self.http
            .get(begun["url"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        let request = format!("/consent-requests/{}", text(&begun, "id"));
        let done = self.insist("GET", &request, None).await;
        let body = json!({ "tenant_id": done["tenant_id"] });
        text(&self.insist("POST", "/mappings", Some(body)).await, "id")
    }

    /// Connects a directory of so many users and waits for its first syncs. Answers the mapping's id,
    /// how long that took, and what readers see then.
    pub async fn synced(&self, app: &TestApp, directory: &str, users: usize) -> Synced {
        let credential = self.credential(app).await;
        let began = Instant::now();
        let mapping = self.connect(&credential, app.directory(directory).id).await;
        let path = format!("/runs?mapping_id={mapping}&kind=directory");
        self.until(&path, |v| is_over(&v["value"][0])).await;
        let took = began.elapsed();
        self.until("/runs?kind=secure_score", |v| is_over(&v["value"][0]))
            .await;
        let dump = self.dump();
        assert!(dump.contains(&format!("users: {users}\n")));
        Synced {
            mapping,
            took,
            dump,
        }
    }

    /// Asks for everything to be read anew; answers the run's id.
    pub async fn reconcile(&self, mapping: &str) -> String {
        let ask = json!({ "mapping_id": mapping, "kind": "directory", "reconcile": true });
        let asked = self.insist("POST", "/runs", Some(ask)).await;
        text(&asked["value"][0], "id")
    }

    /// Answers rows of SQL as lines.
    pub fn sql(&self, sql: &str) -> Vec<String> {
        match &self.postgres {
            None => {
                let db = rusqlite::Connection::open(self.data().join("tenantry.db")).unwrap();
                db.busy_timeout(Duration::from_secs(20)).unwrap();
                let mut statement = db.prepare(sql).unwrap();
                let rows = statement.query_map([], |row| row.get::<_, String>(0));
                rows.unwrap().map(Result::unwrap).collect()
            }
            Some(owned) => {
                let mut psql = Command::new("psql");
                let text = output(psql.args(["-X", "-A", "-t", "-d", &owned.owner, "-c", sql]));
                text.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Everything that readers see of what syncs wrote, without times and random ids; and that
    /// nothing else is left behind.
    pub fn dump(&self) -> String {
        let is_postgres = self.postgres.is_some();
        let quote = |column: &str| match is_postgres {
            true => format!("quote_nullable(CAST({column} AS text))"),
            false => format!("quote({column})"),
        };
        let mut out = String::new();
        for table in model::inventory::TABLES {
            let (name, kind) = (table.name, table.kind);
            let published = format!(
                "(SELECT published FROM snapshots s WHERE s.mapping_id = t.mapping_id AND s.kind = '{kind}')"
            );
            let half = self.sql(&format!(
                "SELECT CAST(COUNT(*) AS text) FROM {name} t WHERE t.since > {published}
                    OR (t.until > {published} AND t.until < {})",
                i64::MAX
            ));
            assert_eq!(half, ["0"], "half a sync is left in {name}");
            let double = self.sql(&format!(
                "SELECT CAST(COUNT(*) AS text) FROM (SELECT 1 FROM {name} WHERE until = {}
                    GROUP BY mapping_id, {}id HAVING COUNT(*) > 1) d",
                i64::MAX,
                table.parent.map_or(String::new(), |p| format!("{p}, "))
            ));
            assert_eq!(double, ["0"], "an object of {name} is there twice");
            let list: Vec<String> = table
                .parent
                .iter()
                .chain(["id"].iter())
                .chain(table.columns.iter().map(|(column, _)| column))
                .map(|column| quote(column))
                .collect();
            let mut rows = self.sql(&format!(
                "SELECT {} FROM {name} t WHERE t.since <= {published} AND t.until > {published}",
                list.join(" || '|' || ")
            ));
            rows.sort_unstable();
            out.push_str(&format!("{name}: {}\n{}\n", rows.len(), rows.join("\n")));
        }
        out
    }
}

/// First bytes of a dump's SHA-256, to be read by people.
pub fn short(dump: &str) -> String {
    keys::fingerprint(dump)[..16].to_owned()
}

/// A directory after its first, undisturbed syncs.
pub struct Synced {
    pub mapping: String,
    pub took: Duration,
    pub dump: String,
}

/// What a command printed; it must succeed.
pub fn output(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
    String::from_utf8(done.stdout).unwrap()
}

/// Whether a run read what it could.
pub fn is_over(run: &Value) -> bool {
    matches!(run["state"].as_str(), Some("completed" | "partial"))
}

/// Numbers by chance, the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Between 0 and `most`.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

/// Path of a file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
