//! Microsoft's request limits, kept by ourselves so that most throttling never happens.
//!
//! Source: Microsoft Graph's throttling limits (2026). A limit of so many units in a period is cut
//! into slots; taking a slot allows its units for a moment, and it is free again when the period has
//! passed, so that no period of any position sees more than the limit. Slots are kept where all
//! workers share them ([`Slots`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Error, Limits,
    charge::{Charge, Service},
};

/// Where slots are kept.
pub trait Slots: Send + Sync {
    /// Takes one of `slots` slots of a limit, each of which is free again after `period`. Answers
    /// zero when it was taken, else how long to wait before asking again.
    fn take<'a>(
        &'a self,
        name: &'a str,
        slots: u32,
        period: Duration,
    ) -> BoxFuture<'a, Result<Duration, String>>;
}

/// Slots of this process alone, for tests and for what no worker shares.
#[derive(Debug, Default)]
pub struct LocalSlots(Mutex<HashMap<String, Vec<Instant>>>);

impl Slots for LocalSlots {
    fn take<'a>(
        &'a self,
        name: &'a str,
        slots: u32,
        period: Duration,
    ) -> BoxFuture<'a, Result<Duration, String>> {
        let now = Instant::now();
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = limits.entry(name.to_owned()).or_default();
        taken.retain(|at| *at + period > now);
        let wait = match taken.first() {
            Some(first) if taken.len() >= slots as usize => *first + period - now,
            _ => {
                taken.push(now);
                Duration::ZERO
            }
        };
        Box::pin(async move { Ok(wait) })
    }
}

/// A limit: who shares it, units in a period, and units of a slot.
struct Rule {
    name: String,
    units: u32,
    period: u64,
    slot: u32,
}

/// Users of a tenant, as far as known: its limit depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Size {
    /// Fewer than 50, or not known.
    #[default]
    Small,
    /// Up to 500.
    Medium,
    /// More.
    Large,
}

impl Size {
    /// By the number of users.
    pub(crate) fn of(users: i64) -> Self {
        match users {
            ..50 => Self::Small,
            50..=500 => Self::Medium,
            _ => Self::Large,
        }
    }
}

/// Units that were taken from a slot and not used yet; they are forgotten after a moment, so that
/// they cannot add to those of a later slot.
#[derive(Debug, Clone, Copy)]
struct Grant {
    units: u32,
    until: Instant,
}

const GRANT: Duration = Duration::from_secs(1);
/// Requests arrive later than they are sent, and not all equally late.
const GUARD: Duration = Duration::from_millis(100);
/// The same where requests are counted one by one: there, one that is late by more than the next is one
/// too many, and a busy machine is late by more than a tenth of a second.
const STRICT_GUARD: Duration = Duration::from_millis(300);

/// The longest that one answer holds up others than who asked: as long as a request waits.
const LONGEST_PAUSE: Duration = crate::client::MAX_WAIT;

/// Until when nobody asks a service of a tenant as an application.
type Pauses = HashMap<(Service, Uuid, Uuid), Instant>;

/// Keeps the limits; shared by all clients of the process.
#[derive(Clone)]
pub struct Limiter {
    slots: Arc<dyn Slots>,
    grants: Arc<Mutex<HashMap<String, Grant>>>,
    pauses: Arc<Mutex<Pauses>>,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Limiter(…)")
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(Arc::new(LocalSlots::default()))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) cloud: &'a str,
    pub(crate) limits: Limits,
    pub(crate) client_id: Uuid,
    pub(crate) tenant: Uuid,
    pub(crate) size: Size,
}

impl Limiter {
    /// Keeps its slots there.
    pub fn new(slots: Arc<dyn Slots>) -> Self {
        Self {
            slots,
            grants: Arc::default(),
            pauses: Arc::default(),
        }
    }

    /// Waits until a request may be sent; answers how long that took.
    ///
    /// # Errors
    /// [`Error::Throttled`] when it would take longer than `most`.
    pub(crate) async fn wait(
        &self,
        asker: Asker<'_>,
        charge: Charge,
        most: Duration,
    ) -> Result<Duration, Error> {
        let began = Instant::now();
        self.pause(asker, charge.service, most).await?;
        if asker.limits == Limits::Microsoft {
            for (rule, units) in rules(asker, charge) {
                while let Some(wait) = self.take(&rule, units).await? {
                    if began.elapsed() + wait > most {
                        return Err(Error::Throttled(wait));
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
        Ok(began.elapsed())
    }

    /// Waits as long as Microsoft asked somebody else of us to.
    async fn pause(&self, asker: Asker<'_>, service: Service, most: Duration) -> Result<(), Error> {
        let key = (service, asker.client_id, asker.tenant);
        loop {
            let until = self.locked_pauses().get(&key).copied();
            let Some(left) = until.and_then(|at| at.checked_duration_since(Instant::now())) else {
                return Ok(());
            };
            if left.is_zero() {
                return Ok(());
            }
            if left > most {
                return Err(Error::Throttled(left));
            }
            tokio::time::sleep(left).await;
        }
    }

    fn locked_pauses(&self) -> std::sync::MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that Microsoft asked to wait: everybody does, who asks the same service of the same
    /// tenant as the same application.
    pub(crate) fn told_to_wait(&self, asker: Asker<'_>, service: Service, time: Duration) {
        // Who is told to wait for longer gives up and comes again; the others find out themselves.
        if time > LONGEST_PAUSE {
            return;
        }
        let until = Instant::now() + time;
        let mut pauses = self.locked_pauses();
        pauses.retain(|_, at| *at > Instant::now());
        let pause = pauses
            .entry((service, asker.client_id, asker.tenant))
            .or_insert(until);
        *pause = (*pause).max(until);
    }

    /// Takes units; or answers how long to wait.
    async fn take(&self, rule: &Rule, units: u32) -> Result<Option<Duration>, Error> {
        {
            let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(grant) = grants.get_mut(&rule.name)
                && grant.until > Instant::now()
                && grant.units >= units
            {
                grant.units -= units;
                return Ok(None);
            }
        }
        // A slot's units may be used until the moment has passed, so it rests as much longer.
        let moment = if rule.slot > 1 { GRANT } else { Duration::ZERO };
        let slots = rule.units / rule.slot;
        let guard = if rule.slot == 1 { STRICT_GUARD } else { GUARD };
        let period = Duration::from_secs(rule.period) + moment + guard;
        let wait = self.slots.take(&rule.name, slots, period).await;
        match wait.map_err(Error::Store)? {
            Duration::ZERO => {
                let grant = Grant {
                    units: rule.slot.saturating_sub(units),
                    until: Instant::now() + GRANT,
                };
                let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
                if rule.slot > 1 {
                    grants.retain(|_, grant| grant.until > Instant::now());
                    grants.insert(rule.name.clone(), grant);
                }
                Ok(None)
            }
            wait => Ok(Some(wait)),
        }
    }
}

/// The limits that a request counts against, and what it counts; the strictest last, just before the
/// request is sent.
fn rules(asker: Asker<'_>, charge: Charge) -> Vec<(Rule, u32)> {
    let Asker {
        cloud,
        client_id: app,
        tenant,
        ..
    } = asker;
    let rule = |name: String, units, period, slot| Rule {
        name: format!("{cloud}/{name}"),
        units,
        period,
        slot,
    };
    let mut rules = vec![(rule(format!("{app}"), 130_000, 10, 2000), 1)];
    match charge.service {
        Service::Directory | Service::SignInActivity => {
            let units = match asker.size {
                Size::Small => 3500,
                Size::Medium => 5000,
                Size::Large => 8000,
            };
            let ours = format!("directory/{app}/{tenant}");
            rules.push((rule(ours, units, 10, 250), charge.units));
            let all = format!("directory/{app}");
            rules.push((rule(all, 150_000, 20, 2500), charge.units));
            if charge.service == Service::SignInActivity {
                rules.push((rule(format!("activity/{app}"), 10, 60, 1), 1));
            }
            if charge.keys {
                rules.push((rule(format!("keys/{tenant}"), 150, 60, 1), 1));
            }
        }
        Service::Reports => {
            rules.push((rule(format!("reports/{app}"), 122, 10, 1), 1));
            rules.push((rule(format!("reports/{app}/{tenant}"), 5, 10, 1), 1));
        }
        Service::Protection => {
            rules.push((rule(format!("protection/{tenant}"), 1, 1, 1), 1));
        }
        Service::Security => {
            rules.push((rule(format!("security/{app}/{tenant}"), 150, 60, 1), 1));
        }
        Service::Intune => {
            rules.push((rule(format!("intune/{app}/{tenant}"), 1000, 20, 50), 1));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn asker(client_id: Uuid, tenant: Uuid, limits: Limits) -> Asker<'static> {
        Asker {
            cloud: "global",
            limits,
            client_id,
            tenant,
            size: Size::Small,
        }
    }

    async fn wait(limiter: &Limiter, asker: Asker<'_>, request: &Request) -> Duration {
        limiter
            .wait(asker, Charge::of(request), Duration::from_secs(100))
            .await
            .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_sixth_report_in_ten_seconds_waits_and_other_tenants_do_not() {
        let limiter = Limiter::default();
        let (app, a, b) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let report = Request::get("/reports/authenticationMethods/userRegistrationDetails");
        for _ in 0..5 {
            let waited = wait(&limiter, asker(app, a, Limits::Microsoft), &report).await;
            assert_eq!(waited, Duration::ZERO);
        }
        let other = wait(&limiter, asker(app, b, Limits::Microsoft), &report).await;
        assert_eq!(other, Duration::ZERO);
        let waited = wait(&limiter, asker(app, a, Limits::Microsoft), &report).await;
        assert!(waited >= Duration::from_secs(10), "{waited:?}");
        let lifted = wait(&limiter, asker(app, a, Limits::None), &report).await;
        assert_eq!(lifted, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn sign_in_activity_is_ten_a_minute_over_all_tenants() {
        let limiter = Limiter::default();
        let app = Uuid::from_u128(1);
        let request = Request::get("/users").select(&["id", "signInActivity"]);
        for tenant in 0..10 {
            let asker = asker(app, Uuid::from_u128(tenant), Limits::Microsoft);
            assert_eq!(wait(&limiter, asker, &request).await, Duration::ZERO);
        }
        let asker = asker(app, Uuid::from_u128(99), Limits::Microsoft);
        assert!(wait(&limiter, asker, &request).await >= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn no_ten_seconds_see_more_units_than_a_small_tenant_has() {
        let limiter = Limiter::default();
        let asker = asker(Uuid::from_u128(1), Uuid::from_u128(2), Limits::Microsoft);
        let request = Request::get("/groups/x/members").select(&["id"]);
        assert_eq!(Charge::of(&request).units, 2);
        let began = Instant::now();
        let mut sent = Vec::new();
        for i in 0..6000 {
            wait(&limiter, asker, &request).await;
            sent.push(began.elapsed());
            if i % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(37)).await;
            }
        }
        for from in &sent {
            let within = sent
                .iter()
                .filter(|at| *at >= from && **at - *from < Duration::from_secs(10));
            assert!(within.count() * 2 <= 3500);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_as_long_as_one_was_told_to() {
        let limiter = Limiter::default();
        let asker = asker(Uuid::from_u128(1), Uuid::from_u128(2), Limits::None);
        let request = Request::get("/users");
        limiter.told_to_wait(asker, Service::Directory, Duration::from_secs(7));
        assert!(wait(&limiter, asker, &request).await >= Duration::from_secs(7));
        limiter.told_to_wait(asker, Service::Directory, Duration::from_secs(60));
        let refused = limiter
            .wait(asker, Charge::of(&request), Duration::from_secs(50))
            .await;
        assert!(matches!(refused, Err(Error::Throttled(_))));
    }
}
