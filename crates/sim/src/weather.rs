//! Faults by chance, and whether a client waits as long as it is told.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::HttpResponse;
use chrono::DateTime;
use serde::Deserialize;
use uuid::Uuid;

use crate::{Kind, data};

/// Shares of Graph's GETs, between 0 and 1, that go wrong in some way. The same seed spoils the same
/// requests, in whatever order they come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Weather {
    /// What the chances begin with.
    pub seed: u64,
    /// 429: in turn with seconds to wait, with a date, and with neither.
    pub throttle: f64,
    /// 429 with a `Retry-After` that is no whole number of seconds.
    pub absurd: f64,
    /// 500, 502, 503 and 504 in turn.
    pub server_error: f64,
    /// The connection is closed without an answer.
    pub reset: f64,
    /// The right answer, in pieces over a second.
    pub slow: f64,
    /// The first half of the right answer.
    pub half_body: f64,
    /// 200 with a web page.
    pub html: f64,
    /// A page that begins with the last objects of the page before.
    pub repeat: f64,
    /// Whether a request that comes again is spared.
    pub once: bool,
}

/// Who was told to wait: a directory and a path with its query.
pub(crate) type Waiter = (Uuid, String);

#[derive(Default)]
struct Inner {
    weather: Option<Weather>,
    asked: HashMap<String, u64>,
    turns: HashMap<&'static str, usize>,
    counts: BTreeMap<&'static str, usize>,
    /// Milliseconds of the simulator's clock until which to wait.
    told: HashMap<Waiter, i64>,
    undercut: usize,
    throttled: usize,
}

/// The weather, and what came of it.
#[derive(Default)]
pub(crate) struct Sky(Mutex<Inner>);

impl Sky {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, weather: Option<Weather>) {
        let mut inner = self.lock();
        inner.weather = weather;
        inner.asked.clear();
        inner.turns.clear();
    }

    /// How many requests met each kind of fault by chance.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.lock().counts.clone()
    }

    pub(crate) fn undercut(&self) -> usize {
        self.lock().undercut
    }

    pub(crate) fn throttled(&self) -> usize {
        self.lock().throttled
    }

    /// The fault that a request meets by chance, unless it is one of these.
    pub(crate) fn strike(&self, uri: &str, except: &[&str]) -> Option<Kind> {
        let mut inner = self.lock();
        let weather = inner.weather.clone()?;
        let asked = inner.asked.entry(uri.to_owned()).or_default();
        *asked += 1;
        let mut hasher = DefaultHasher::new();
        if weather.once && *asked > 1 {
            return None;
        }
        (weather.seed, uri, *asked).hash(&mut hasher);
        let name = weather.choose(data::mix_of(hasher.finish()))?;
        if except.contains(&name) {
            return None;
        }
        *inner.counts.entry(name).or_default() += 1;
        let turn = inner.turns.entry(name).or_default();
        *turn += 1;
        Some(kind(name, *turn - 1))
    }

    /// Notes a request that may come too early.
    pub(crate) fn asked(&self, waiter: &Waiter, now: i64) {
        let mut inner = self.lock();
        match inner.told.get(waiter) {
            Some(until) if *until > now => inner.undercut += 1,
            Some(_) => {
                inner.told.remove(waiter);
            }
            None => {}
        }
    }

    /// Notes what an answer says about waiting, and who is to wait: batches have one path for all.
    pub(crate) fn answered(&self, waiter: Option<Waiter>, answer: &HttpResponse, now: i64) {
        let status = answer.status().as_u16();
        if status != 429 && status != 503 {
            return;
        }
        let mut inner = self.lock();
        inner.throttled += usize::from(status == 429);
        let header = answer.headers().get("retry-after");
        let wait = header.and_then(|v| v.to_str().ok()).and_then(milliseconds);
        if let (Some(waiter), Some(wait)) = (waiter, wait) {
            inner.told.insert(waiter, now + wait);
        }
    }
}

/// How long a `Retry-After` tells to wait.
fn milliseconds(value: &str) -> Option<i64> {
    if let Ok(seconds) = value.parse::<i64>() {
        return Some(seconds * 1000);
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    Some(at.timestamp_millis() - data::now().timestamp_millis())
}

impl Weather {
    /// The fault that a number chooses, if any.
    fn choose(&self, number: u64) -> Option<&'static str> {
        #[allow(clippy::cast_precision_loss)] // a chance need not be exact
        let mut chance = number as f64 / u64::MAX as f64;
        [
            ("throttle", self.throttle),
            ("absurd", self.absurd),
            ("server_error", self.server_error),
            ("reset", self.reset),
            ("slow", self.slow),
            ("half_body", self.half_body),
            ("html", self.html),
            ("repeat", self.repeat),
        ]
        .into_iter()
        .find_map(|(name, share)| {
            chance -= share;
            (chance < 0.0).then_some(name)
        })
    }
}

fn kind(name: &str, turn: usize) -> Kind {
    let error = |status, code: &str| Kind::Error {
        status,
        code: code.to_owned(),
    };
    match (name, turn) {
        ("throttle", t) if t % 3 == 0 => Kind::Throttle { seconds: 1 },
        ("throttle", t) if t % 3 == 1 => Kind::ThrottleUntil { seconds: 1 },
        ("throttle", _) => Kind::ThrottleSilent,
        ("absurd", _) => Kind::ThrottleAbsurd,
        ("reset", _) => Kind::Reset,
        ("slow", _) => Kind::Dribble { ms: 1000 },
        ("half_body", _) => Kind::HalfBody,
        ("html", _) => Kind::Html,
        ("repeat", _) => Kind::Repeat,
        (_, t) => match t % 4 {
            0 => error(500, "InternalServerError"),
            1 => error(502, "UnknownError"),
            2 => error(503, "serviceNotAvailable"),
            _ => error(504, "UnknownError"),
        },
    }
}
