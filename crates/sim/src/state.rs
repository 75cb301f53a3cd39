//! What changes while the simulator runs: consents, tokens, codes, faults, edits.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Fault, Kind, World, signing::Signer};

/// A token's holder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) directory: Uuid,
    pub(crate) client_id: Uuid,
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
}

/// Edits of a directory since it was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) removed_users: usize,
    pub(crate) renamed: HashMap<usize, String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Memory {
    grants: BTreeSet<(Uuid, Uuid)>,
}

#[derive(Default)]
struct Inner {
    memory: Memory,
    tokens: HashMap<String, Holder>,
    codes: HashMap<String, Code>,
    faults: Vec<Fault>,
    changes: HashMap<Uuid, Changes>,
    requests: Vec<String>,
    paths: BTreeSet<String>,
    served: HashMap<Uuid, usize>,
}

pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) signer: Signer,
    file: Option<PathBuf>,
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
            Some(path) if path.exists() => serde_json::from_slice(&std::fs::read(path)?)?,
            _ => Memory::default(),
        };
        Ok(Self {
            world,
            signer: Signer::default(),
            file,
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

    pub(crate) fn grant(&self, directory: Uuid, client_id: Uuid) {
        let mut inner = self.lock();
        inner.memory.grants.insert((directory, client_id));
        self.save(&inner.memory);
    }

    pub(crate) fn revoke(&self, directory: Uuid, client_id: Uuid) {
        let mut inner = self.lock();
        inner.memory.grants.remove(&(directory, client_id));
        inner
            .tokens
            .retain(|_, h| (h.directory, h.client_id) != (directory, client_id));
        self.save(&inner.memory);
    }

    pub(crate) fn is_granted(&self, directory: Uuid, client_id: Uuid) -> bool {
        self.lock().memory.grants.contains(&(directory, client_id))
    }

    pub(crate) fn issue(&self, holder: Holder) -> String {
        let token = format!("sim.{}", random_hex());
        self.lock().tokens.insert(token.clone(), holder);
        token
    }

    pub(crate) fn holder(&self, token: &str) -> Option<Holder> {
        self.lock().tokens.get(token).copied()
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

    pub(crate) fn change(&self, directory: Uuid, edit: impl FnOnce(&mut Changes)) {
        edit(self.lock().changes.entry(directory).or_default());
    }

    pub(crate) fn changes(&self, directory: Uuid) -> Changes {
        self.lock()
            .changes
            .get(&directory)
            .cloned()
            .unwrap_or_default()
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
