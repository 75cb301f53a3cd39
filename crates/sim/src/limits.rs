//! Microsoft's published limits, where they are to be kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
};
use uuid::Uuid;

use crate::{Directory, call::Query, refusal, state::Holder};

/// Whose requests a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Application,
    Tenant,
    Both,
}

struct Limit {
    name: &'static str,
    applies: fn(&str, &Query) -> bool,
    scope: Scope,
    seconds: i64,
    most: fn(&Directory) -> u64,
    /// Whether it counts resource units rather than requests.
    units: bool,
    /// Whether its 429 says how long to wait.
    tells: bool,
}

/// Source: Graph's page about service-specific throttling limits.
const LIMITS: &[Limit] = &[
    Limit::new("global", |_, _| true, Scope::Application, 10, |_| 130_000).telling(),
    Limit::new("identity", is_identity, Scope::Both, 10, |d| {
        match d.users {
            ..50 => 3_500,
            50..=500 => 5_000,
            _ => 8_000,
        }
    })
    .in_units(),
    Limit::new("identity", is_identity, Scope::Application, 20, |_| 150_000).in_units(),
    Limit::new("reports", is_report, Scope::Both, 10, |_| 5).telling(),
    Limit::new("reports", is_report, Scope::Application, 10, |_| 122).telling(),
    // The limit per tenant is the same and never met first.
    Limit::new("activity", is_activity, Scope::Application, 60, |_| 10).telling(),
    Limit::new("protection", is_protection, Scope::Tenant, 1, |_| 1),
    Limit::new(
        "security",
        |p, _| p.contains("/security/"),
        Scope::Both,
        600,
        |_| 10_000,
    ),
    Limit::new(
        "scores",
        |p, _| p.ends_with("/secureScores"),
        Scope::Both,
        60,
        |_| 150,
    ),
    Limit::new("intune", is_intune, Scope::Tenant, 20, |_| 2_000),
    Limit::new("intune", is_intune, Scope::Both, 20, |_| 1_000),
    Limit::new(
        "outlook",
        |p, _| p.ends_with("/sendMail"),
        Scope::Both,
        600,
        |_| 10_000,
    )
    .telling(),
    Limit::new(
        "keys",
        |_, q| selects(q, "keyCredentials"),
        Scope::Tenant,
        60,
        |_| 150,
    ),
];

impl Limit {
    const fn new(
        name: &'static str,
        applies: fn(&str, &Query) -> bool,
        scope: Scope,
        seconds: i64,
        most: fn(&Directory) -> u64,
    ) -> Self {
        Self {
            name,
            applies,
            scope,
            seconds,
            most,
            units: false,
            tells: false,
        }
    }

    const fn telling(mut self) -> Self {
        self.tells = true;
        self
    }

    const fn in_units(mut self) -> Self {
        self.units = true;
        self.telling()
    }

    fn key(&self, holder: &Holder) -> Key {
        let application = (self.scope != Scope::Tenant).then_some(holder.client_id);
        let tenant = (self.scope != Scope::Application).then_some(holder.directory);
        (self.name, application, tenant)
    }

    /// What `x-ms-throttle-scope` names.
    fn scope_text(&self, holder: &Holder) -> String {
        let (app, tenant) = (holder.client_id, holder.directory);
        match self.scope {
            Scope::Application => format!("Application/ReadWrite/{app}"),
            Scope::Tenant => format!("Tenant/ReadWrite/{tenant}"),
            Scope::Both => format!("Tenant_Application/ReadWrite/{app}/{tenant}"),
        }
    }
}

fn is_report(path: &str, _: &Query) -> bool {
    path.contains("/auditLogs/") || path.contains("/reports/")
}

fn is_protection(path: &str, _: &Query) -> bool {
    path.contains("/identityProtection/") || path.contains("/conditionalAccess/")
}

fn is_intune(path: &str, _: &Query) -> bool {
    path.contains("/deviceManagement/")
}

fn is_activity(path: &str, query: &Query) -> bool {
    path.contains("/users") && selects(query, "signInActivity")
}

fn is_identity(path: &str, query: &Query) -> bool {
    !is_report(path, query)
        && !is_protection(path, query)
        && !is_intune(path, query)
        && !path.contains("/security/")
        && !path.ends_with("/sendMail")
}

fn selects(query: &Query, name: &str) -> bool {
    query
        .get("$select")
        .is_some_and(|s| s.split(',').any(|n| n.trim() == name))
}

/// Resource units of a GET, by Microsoft's table.
fn cost(path: &str, query: &Query) -> u32 {
    let base: i32 = match path.trim_start_matches("/v1.0") {
        "/users" | "/applications" | "/servicePrincipals/{id}/appRoleAssignments" => 2,
        "/groups/{id}/members" | "/contracts" | "/subscribedSkus" => 3,
        "/groups/{id}/transitiveMembers" => 5,
        _ => 1,
    };
    let top = query.get("$top").and_then(|t| t.parse::<u32>().ok());
    let change = i32::from(query.contains_key("$expand"))
        - i32::from(query.contains_key("$select"))
        - i32::from(top.is_some_and(|t| t < 20));
    (base + change).max(1).unsigned_abs()
}

type Key = (&'static str, Option<Uuid>, Option<Uuid>);

/// What was asked in the last seconds.
#[derive(Default)]
struct Window {
    asked: VecDeque<(i64, u64)>,
    sum: u64,
}

impl Window {
    fn add(&mut self, now: i64, amount: u64, span: i64) {
        while let Some((at, gone)) = self.asked.front().copied()
            && at + span <= now
        {
            self.asked.pop_front();
            self.sum -= gone;
        }
        self.asked.push_back((now, amount));
        self.sum += amount;
    }

    /// Milliseconds until as much fits again.
    fn wait(&self, now: i64, amount: u64, span: i64, most: u64) -> i64 {
        let mut sum = self.sum;
        let freed = self.asked.iter().find(|(_, gone)| {
            sum -= gone;
            sum + amount <= most
        });
        freed.map_or(span, |(at, _)| at + span - now)
    }
}

/// What a request costs, and the share of its tightest limit where that is worth saying.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cost: u32,
    pub(crate) used: Option<f64>,
}

/// The limits' windows.
#[derive(Default)]
pub(crate) struct Meter {
    on: AtomicBool,
    windows: Mutex<HashMap<(Key, i64), Window>>,
}

impl Meter {
    pub(crate) fn keep(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
        self.windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Charges a request to every limit that it falls under, also when one refuses it: all attempts
    /// count.
    pub(crate) fn charge(
        &self,
        now: i64,
        path: &str,
        query: &Query,
        holder: &Holder,
        directory: &Directory,
    ) -> Result<Usage, HttpResponse> {
        let cost = cost(path, query);
        let mut usage = Usage { cost, used: None };
        if !self.on.load(Ordering::Relaxed) {
            return Ok(usage);
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = None;
        for limit in LIMITS.iter().filter(|l| (l.applies)(path, query)) {
            let amount = if limit.units { u64::from(cost) } else { 1 };
            let (span, most) = (limit.seconds * 1000, (limit.most)(directory));
            let window = windows
                .entry((limit.key(holder), limit.seconds))
                .or_default();
            window.add(now, amount, span);
            #[allow(clippy::cast_precision_loss)] // small numbers
            let used = window.sum as f64 / most as f64;
            if used > 0.8 && usage.used.is_none_or(|most| used > most) {
                usage.used = Some(used);
            }
            if window.sum > most {
                let wait = window.wait(now, amount, span, most);
                refused = refused.or(Some((limit, wait)));
            }
        }
        match refused {
            Some((limit, wait)) => Err(refuse(limit, wait, holder, usage)),
            None => Ok(usage),
        }
    }
}

fn refuse(limit: &Limit, wait: i64, holder: &Holder, usage: Usage) -> HttpResponse {
    let seconds = ((wait + 999) / 1000).max(1).to_string();
    let mut answer = refusal::throttled(limit.tells.then_some(seconds.as_str()));
    let mut say = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    };
    say("x-ms-throttle-scope", limit.scope_text(holder));
    if limit.units {
        let reason = "ResourceUnitLimitExceeded".to_owned();
        say("x-ms-throttle-information", reason);
    }
    if let Some(used) = usage.used {
        say(
            "x-ms-throttle-limit-percentage",
            format!("{:.2}", used.min(1.8)),
        );
    }
    answer
}
