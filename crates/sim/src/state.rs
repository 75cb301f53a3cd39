//! What changes while the simulator runs: consents, tokens, codes, faults, edits.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Application, Directory, Fault, Kind, World,
    changes::{Changes, Class, What},
    limits::Meter,
    signing::Signer,
    weather::Sky,
};

/// A token's holder, with what it may read: roles are frozen into a token when it is issued.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) directory: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) roles: Vec<String>,
}

/// A client secret of a registration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ClientSecret {
    pub(crate) value: String,
    /// Seconds since 1970.
    pub(crate) ends_at: Option<i64>,
}

/// Consent of a directory to an application.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) directory: Uuid,
    pub(crate) client_id: Uuid,
    pub(crate) roles: Vec<String>,
    /// Seconds since 1970 from which it works.
    pub(crate) works_at: i64,
}

/// An authorization code, redeemable once.
#[derive(Debug, Clone)]
pub(crate) struct Code {
    pub(crate) directory: Uuid,
    pub(crate) account: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) nonce: String,
    pub(crate) challenge: String,
    pub(crate) scope: String,
    /// Whether the application asked for a fresh sign-in (`max_age`, `prompt=login`).
    pub(crate) asked_anew: bool,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    grants: Vec<Grant>,
    secrets: HashMap<Uuid, Vec<ClientSecret>>,
    /// DER in base64.
    certificates: HashMap<Uuid, Vec<String>>,
    refresh_tokens: HashMap<String, (Uuid, Uuid, Vec<String>)>,
}

#[derive(Default)]
struct Inner {
    memory: Memory,
    tokens: HashMap<String, Holder>,
    codes: HashMap<String, Code>,
    assertions: BTreeSet<String>,
    disabled: BTreeSet<(Uuid, Uuid)>,
    blocked: BTreeSet<Uuid>,
    throttled: BTreeSet<Uuid>,
    roles: HashMap<Uuid, Vec<String>>,
    offset_seconds: i64,
    mails: Vec<(String, serde_json::Value)>,
    redirect_uris: BTreeSet<String>,
    faults: Vec<Fault>,
    recorded: HashMap<String, serde_json::Value>,
    changes: HashMap<Uuid, Arc<Changes>>,
    requests: Vec<String>,
    paths: BTreeSet<String>,
    served: HashMap<Uuid, usize>,
}

pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) signer: Signer,
    pub(crate) meter: Meter,
    pub(crate) weather: Sky,
    started: Instant,
    /// Seconds since 1970 at which it was started.
    pub(crate) born: i64,
    file: Option<PathBuf>,
    strays: AtomicUsize,
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State(…)")
    }
}

/// Requests remembered for tests; more would be a leak in a long demo.
const REMEMBERED: usize = 200_000;

impl State {
    pub(crate) fn new(world: World, file: Option<PathBuf>) -> anyhow::Result<Self> {
        let memory = match &file {
            // A file of an older simulator is forgotten rather than refused.
            Some(path) if path.exists() => {
                serde_json::from_slice(&std::fs::read(path)?).unwrap_or_default()
            }
            _ => Memory::default(),
        };
        Ok(Self {
            world,
            signer: Signer::default(),
            meter: Meter::default(),
            weather: Sky::default(),
            started: Instant::now(),
            born: crate::data::now().timestamp(),
            file,
            strays: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                memory,
                ..Inner::default()
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, memory: &Memory) {
        if let Some(path) = &self.file
            && let Ok(json) = serde_json::to_vec(memory)
        {
            // A demo that cannot remember consents still works until it is restarted.
            let _ = std::fs::write(path, json);
        }
    }

    /// Notes a redirect URI that was accepted because it leads to this machine.
    pub(crate) fn note_redirect_uri(&self, uri: &str) {
        self.lock().redirect_uris.insert(uri.to_owned());
    }

    /// What a registration lists: its own, or those that were accepted.
    pub(crate) fn redirect_uris(&self, application: &Application) -> Vec<String> {
        if application.redirect_uris.is_empty() {
            self.lock().redirect_uris.iter().cloned().collect()
        } else {
            application.redirect_uris.clone()
        }
    }

    pub(crate) fn add_mail(&self, from: &str, mail: serde_json::Value) {
        self.lock().mails.push((from.to_owned(), mail));
    }

    pub(crate) fn mails(&self) -> Vec<(String, serde_json::Value)> {
        self.lock().mails.clone()
    }

    /// Now, as the simulated Microsoft sees it, in seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        crate::data::now().timestamp() + self.lock().offset_seconds
    }

    /// Milliseconds since the start, on a clock that never goes back; for limits and waiting.
    pub(crate) fn millis(&self) -> i64 {
        let passed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        passed + self.lock().offset_seconds * 1000
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.lock().offset_seconds += seconds;
    }

    /// What an application asks for: its manifest.
    pub(crate) fn manifest(&self, client_id: Uuid) -> Vec<String> {
        if let Some(roles) = self.lock().roles.get(&client_id) {
            return roles.clone();
        }
        let found = self.world.application(&client_id.to_string());
        found
            .map(|a| a.roles.iter().map(|r| (*r).to_owned()).collect())
            .unwrap_or_default()
    }

    pub(crate) fn set_manifest(&self, client_id: Uuid, roles: Vec<String>) {
        self.lock().roles.insert(client_id, roles);
        self.note_registration(client_id, &["requiredResourceAccess"]);
    }

    pub(crate) fn grant(&self, directory: Uuid, client_id: Uuid) {
        let spreads = self
            .world
            .directory(&directory.to_string())
            .map_or(0, |d| d.spreads);
        let grant = Grant {
            directory,
            client_id,
            roles: self.manifest(client_id),
            works_at: self.now() + spreads,
        };
        let mut inner = self.lock();
        let grants = &mut inner.memory.grants;
        grants.retain(|g| (g.directory, g.client_id) != (directory, client_id));
        grants.push(grant);
        self.save(&inner.memory);
        drop(inner);
        self.note_principal(directory, client_id);
    }

    pub(crate) fn revoke(&self, directory: Uuid, client_id: Uuid) {
        let mut inner = self.lock();
        let grants = &mut inner.memory.grants;
        grants.retain(|g| (g.directory, g.client_id) != (directory, client_id));
        inner
            .tokens
            .retain(|_, h| (h.directory, h.client_id) != (directory, client_id));
        self.save(&inner.memory);
        drop(inner);
        self.note_principal(directory, client_id);
    }

    /// What a directory granted to an application and works by now.
    pub(crate) fn granted(&self, directory: Uuid, client_id: Uuid) -> Option<Vec<String>> {
        let now = self.now();
        self.lock()
            .memory
            .grants
            .iter()
            .find(|g| (g.directory, g.client_id) == (directory, client_id) && g.works_at <= now)
            .map(|g| g.roles.clone())
    }

    pub(crate) fn disable(&self, directory: Uuid, client_id: Uuid) {
        self.lock().disabled.insert((directory, client_id));
    }

    pub(crate) fn is_disabled(&self, directory: Uuid, client_id: Uuid) -> bool {
        self.lock().disabled.contains(&(directory, client_id))
    }

    pub(crate) fn block(&self, directory: Uuid) {
        self.lock().blocked.insert(directory);
    }

    pub(crate) fn throttle(&self, directory: Uuid) {
        self.lock().throttled.insert(directory);
    }

    pub(crate) fn relent(&self, directory: Uuid) {
        self.lock().throttled.remove(&directory);
    }

    /// A request named what is not of the directory that its token is for.
    pub(crate) fn strayed(&self) {
        self.strays.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn strays(&self) -> usize {
        self.strays.load(Ordering::Relaxed)
    }

    pub(crate) fn is_throttled(&self, directory: Uuid) -> bool {
        self.lock().throttled.contains(&directory)
    }

    pub(crate) fn is_blocked(&self, directory: &Directory) -> bool {
        directory.blocks || self.lock().blocked.contains(&directory.id)
    }

    /// The client secrets of a registration: those of the world and those that were made.
    pub(crate) fn secrets(&self, application: &Application) -> Vec<ClientSecret> {
        self.lock()
            .memory
            .secrets
            .get(&application.client_id)
            .cloned()
            .unwrap_or_else(|| {
                vec![ClientSecret {
                    value: application.secret.clone(),
                    ends_at: None,
                }]
            })
    }

    /// Makes a client secret; `ends_in` seconds, if it ends.
    pub(crate) fn new_secret(&self, application: &Application, ends_in: Option<i64>) -> String {
        let value = random_hex();
        let mut all = self.secrets(application);
        all.push(ClientSecret {
            value: value.clone(),
            ends_at: ends_in.map(|s| self.now() + s),
        });
        self.keep_secrets(application, all);
        value
    }

    /// Lets every client secret but `except` end now.
    pub(crate) fn expire_secrets(&self, application: &Application, except: &str) {
        let now = self.now();
        let mut all = self.secrets(application);
        for secret in &mut all {
            if secret.value != except {
                secret.ends_at = Some(now - 1);
            }
        }
        self.keep_secrets(application, all);
    }

    fn keep_secrets(&self, application: &Application, all: Vec<ClientSecret>) {
        let mut inner = self.lock();
        inner.memory.secrets.insert(application.client_id, all);
        self.save(&inner.memory);
        drop(inner);
        self.note_registration(application.client_id, &["passwordCredentials"]);
    }

    pub(crate) fn certificates(&self, client_id: Uuid) -> Vec<Vec<u8>> {
        self.lock()
            .memory
            .certificates
            .get(&client_id)
            .into_iter()
            .flatten()
            .filter_map(|text| data_encoding::BASE64.decode(text.as_bytes()).ok())
            .collect()
    }

    pub(crate) fn add_certificate(&self, client_id: Uuid, der: &[u8]) {
        let mut inner = self.lock();
        let text = data_encoding::BASE64.encode(der);
        inner
            .memory
            .certificates
            .entry(client_id)
            .or_default()
            .push(text);
        self.save(&inner.memory);
        drop(inner);
        self.note_registration(client_id, &["keyCredentials"]);
    }

    /// Notes an assertion's id; `false` when it came before.
    pub(crate) fn is_new_assertion(&self, id: &str) -> bool {
        self.lock().assertions.insert(id.to_owned())
    }

    pub(crate) fn add_refresh_token(&self, holder: &Holder) -> String {
        let token = random_hex();
        let mut inner = self.lock();
        inner.memory.refresh_tokens.insert(
            token.clone(),
            (holder.directory, holder.client_id, holder.roles.clone()),
        );
        self.save(&inner.memory);
        token
    }

    pub(crate) fn refresh_token(&self, token: &str) -> Option<Holder> {
        let inner = self.lock();
        let (directory, client_id, roles) = inner.memory.refresh_tokens.get(token)?.clone();
        Some(Holder {
            directory,
            client_id,
            roles,
        })
    }

    /// Lets all authorisations of an application lapse.
    pub(crate) fn lapse(&self, client_id: Uuid) {
        let mut inner = self.lock();
        inner
            .memory
            .refresh_tokens
            .retain(|_, (_, client, _)| *client != client_id);
        inner.tokens.retain(|_, h| h.client_id != client_id);
        self.save(&inner.memory);
    }

    pub(crate) fn issue(&self, holder: Holder) -> String {
        let token = format!("sim.{}", random_hex());
        self.lock().tokens.insert(token.clone(), holder);
        token
    }

    /// Access and refresh tokens that were handed out and still count.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let inner = self.lock();
        let refresh = inner.memory.refresh_tokens.keys();
        inner.tokens.keys().chain(refresh).cloned().collect()
    }

    pub(crate) fn holder(&self, token: &str) -> Option<Holder> {
        self.lock().tokens.get(token).cloned()
    }

    pub(crate) fn holder_of(&self, ask: &crate::router::Ask) -> Option<Holder> {
        self.holder(ask.token.as_deref()?)
    }

    pub(crate) fn add_code(&self, code: Code) -> String {
        let text = random_hex();
        self.lock().codes.insert(text.clone(), code);
        text
    }

    pub(crate) fn take_code(&self, text: &str) -> Option<Code> {
        self.lock().codes.remove(text)
    }

    pub(crate) fn add_fault(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub(crate) fn clear_faults(&self) {
        self.lock().faults.clear();
        self.weather.set(None);
    }

    /// Notes a request and answers the fault that it meets.
    pub(crate) fn note(&self, path_and_query: &str, template: &str) -> Option<Kind> {
        let mut inner = self.lock();
        if inner.requests.len() < REMEMBERED {
            inner.requests.push(path_and_query.to_owned());
        }
        inner.paths.insert(template.to_owned());
        let index = inner
            .faults
            .iter()
            .position(|f| f.times > 0 && path_and_query.contains(&f.path))?;
        let fault = &mut inner.faults[index];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    /// Counts requests of a directory, for throttling every n-th.
    pub(crate) fn served(&self, directory: Uuid) -> usize {
        let mut inner = self.lock();
        let count = inner.served.entry(directory).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn change<T>(
        &self,
        directory: Uuid,
        edit: impl FnOnce(&mut Changes, &Directory) -> T,
    ) -> Option<T> {
        let found = self.world.of(directory)?;
        let mut inner = self.lock();
        let changes = inner.changes.entry(directory).or_default();
        Some(edit(Arc::make_mut(changes), found))
    }

    pub(crate) fn changes(&self, directory: Uuid) -> Arc<Changes> {
        self.lock()
            .changes
            .get(&directory)
            .cloned()
            .unwrap_or_default()
    }

    /// Notes that an application's service principal in a directory came, went or changed.
    fn note_principal(&self, directory: Uuid, client_id: Uuid) {
        let index = crate::principals::index_of_world(&self.world, client_id);
        if let Some(index) = index {
            self.change(directory, |c, _| {
                c.note(Class::Principal, index, What::Existence);
            });
        }
    }

    /// Notes that a registration changed, in its home directory.
    fn note_registration(&self, client_id: Uuid, properties: &'static [&'static str]) {
        let all = &self.world.applications;
        if let Some(index) = all.iter().position(|a| a.client_id == client_id) {
            self.change(all[index].home, |c, _| {
                c.note(Class::Application, index, What::Properties(properties));
            });
        }
    }

    pub(crate) fn record(&self, path: &str, body: serde_json::Value) {
        self.lock().recorded.insert(path.to_owned(), body);
    }

    pub(crate) fn recorded(&self, path: &str) -> Option<serde_json::Value> {
        let inner = self.lock();
        // Nothing is recorded but in a test of recorded traffic.
        (!inner.recorded.is_empty()).then(|| inner.recorded.get(path).cloned())?
    }

    pub(crate) fn requests(&self, part: &str) -> usize {
        self.lock()
            .requests
            .iter()
            .filter(|r| r.contains(part))
            .count()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.lock().paths.iter().cloned().collect()
    }
}

pub(crate) fn random_hex() -> String {
    let mut bytes = [0u8; 32];
    // Without randomness nothing here would be safe to hand out, not even in a simulation.
    if ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).is_err() {
        return String::new();
    }
    data_encoding::HEXLOWER.encode(&bytes)
}
