//! One run, from claim to settlement.

use std::{panic::AssertUnwindSafe, time::Duration};

use consent::Consent;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use graph::{Class, Cloud, Error as GraphError, GraphClient};
use model::{
    CollectorState, Db, PartnerId, RunCause, RunId, RunState, credential, evidence,
    inventory::{self, Stage},
    run::{self, Beat, CollectorEnd, Failure, Lease},
    tenant,
};

use crate::{
    collector::{Entry, Found, Pass, Stop, ending},
    collectors,
};

/// How runs are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Runs at the same time in this process.
    pub concurrency: usize,
    /// A worker that is silent for this long is taken for dead.
    pub lease: Duration,
    /// How often the scheduler looks.
    pub tick: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 4,
            lease: Duration::from_secs(4),
            tick: Duration::from_millis(500),
        }
    }
}

/// A run that takes longer is stopped and tried again.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);

/// Works on runs.
#[derive(Debug, Clone)]
pub struct Runner {
    /// The database.
    pub db: Db,
    /// How Microsoft is reached, and consent looked at again.
    pub consent: Consent,
    /// Settings.
    pub settings: Settings,
}

/// How the work on a run ended.
enum Worked {
    /// All collectors were tried; failures that may pass happened to some.
    Through(Through),
    /// Nothing could be read, for this reason, which trying again does not change.
    Hopeless(Failure),
    /// Nothing could be read, but later it may; not before this long.
    Later(Failure, Option<Duration>),
    /// The key service does not let any credential be opened, which is not the run's fault.
    Locked(Failure),
}

impl Runner {
    /// Claims and works on a run; a delivery that came twice or too late does nothing.
    pub async fn run(&self, partner: PartnerId, id: RunId, worker: &str) -> model::Result<()> {
        let ttl = i64::try_from(self.settings.lease.as_millis()).unwrap_or(i64::MAX);
        let claim = || run::claim(&self.db, partner, id, worker, ttl);
        let Some(lease) = outlast(claim).await? else {
            return Ok(());
        };
        match self.attempt(&lease).await {
            Ok(()) => {
                // The run has ended; what cannot be written now is written by whoever looks next.
                if let Err(error) = evidence::attest(lease.scope(), id).await {
                    tracing::warn!(run = %id, %error, "a run's evidence is not written yet");
                }
                Ok(())
            }
            Err(model::Error::LeaseLost) => outlast(|| self.stopped(&lease)).await,
            Err(error) if error.is_outage() => {
                tracing::warn!(run = %id, %error, "the database is away; the run is given back");
                let failure = simple("The database was away.");
                let now = self.db.clock().now();
                match outlast(|| lease.give_back(now, &failure)).await {
                    Err(model::Error::LeaseLost) => Ok(()),
                    other => other,
                }
            }
            Err(error) => {
                let failure = simple(&format!("The database failed: {error}."));
                self.later(&lease, failure, None).await
            }
        }
    }

    /// One attempt at a claimed run.
    async fn attempt(&self, lease: &Lease) -> model::Result<()> {
        let stage = Stage::begin(lease.clone()).await?;
        let work = AssertUnwindSafe(self.work(&stage)).catch_unwind();
        let mut keep = std::pin::pin!(stage.keep(self.settings.lease));
        let worked = tokio::select! {
            worked = work => {
                stage.over();
                match keep.await? {
                    Beat::Held => worked,
                    Beat::Cancelled => return settle_cancelled(lease).await,
                    Beat::Lost => return self.stopped(lease).await,
                }
            }
            beat = &mut keep => {
                return match beat? {
                    Beat::Cancelled => settle_cancelled(lease).await,
                    // Another worker has it: it is theirs.
                    Beat::Held | Beat::Lost => Ok(()),
                };
            }
            () = tokio::time::sleep(LONGEST_RUN) => {
                stage.over();
                keep.await?;
                Ok(Ok(Worked::Later(simple("The run took longer than six hours."), None)))
            }
        };
        match worked {
            Ok(worked) => self.settle(&stage, worked?).await,
            Err(_) => {
                tracing::error!(run = %lease.run.id, "a collector panicked");
                let failure = simple("A defect stopped the run. Report it with the job's number.");
                self.later(lease, failure, None).await
            }
        }
    }

    /// A write found the lease gone: cancelled or taken over.
    async fn stopped(&self, lease: &Lease) -> model::Result<()> {
        match lease.beat().await? {
            Beat::Cancelled => settle_cancelled(lease).await,
            Beat::Held | Beat::Lost => Ok(()),
        }
    }

    async fn work(&self, stage: &Stage) -> model::Result<Worked> {
        let lease = stage.lease();
        let kept = run::collectors(lease.scope(), &lease.run).await?;
        let entries = self.entries(lease, &kept);
        let names: Vec<&'static str> = entries.iter().map(|entry| entry.name).collect();
        let from = kept
            .iter()
            .filter(|k| !names.contains(&k.name.as_str()))
            .count();
        stage.announce(&names, from);
        let priority = match lease.run.cause {
            RunCause::Schedule => "low",
            _ => "normal",
        };
        let connection = &self.consent.connection;
        let client = connection
            .client(
                lease.scope(),
                &lease.credential,
                lease.tenant.directory_id,
                priority,
            )
            .await;
        let client = match client {
            Ok(Some(client)) => client,
            Ok(None) => {
                return Ok(Worked::Hopeless(Failure {
                    code: None,
                    error: "The credential is revoked.".into(),
                    remedy: Some("Map the company with another credential.".into()),
                }));
            }
            Err(consent::Error::Model(error)) => return Err(error),
            Err(error) => {
                return Ok(Worked::Hopeless(Failure {
                    code: None,
                    error: format!("{error}."),
                    remedy: Some("Check the server's configuration.".into()),
                }));
            }
        };
        if let Err(error) = client.authenticate().await {
            return self.refused(lease, &error).await;
        }
        credential::note_result(lease.scope(), lease.credential.id, Ok(())).await?;
        let Some(cloud) = connection.clouds.get(&lease.credential.cloud) else {
            return Ok(Worked::Hopeless(simple("The cloud is not configured.")));
        };
        let client = client.with_users(inventory::users(lease).await?);
        let found = Found::default();
        let mut work: Vec<BoxFuture<'_, _>> = Vec::new();
        for chain in chains(&entries) {
            work.push(Box::pin(self.chain(stage, &client, &cloud, &found, chain)));
        }
        // All at once: one that waits at a limit of its own service holds up no other. The client's gate
        // bounds the requests, and the stage's places the rows in memory.
        let mut ended: FuturesUnordered<_> = work.into_iter().collect();
        let (mut through, mut refusal) = (Through::default(), None);
        while let Some(chain) = ended.next().await {
            match chain? {
                Ok(one) => through.add(one),
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        // Before anything is written: a chain that is not polled may hold a connection, or its turn to
        // get one, and whoever writes would wait for that.
        drop(ended);
        match refusal {
            // The token lapsed and no new one is given: that is the run's failure.
            Some(error) => self.refused(lease, &error).await,
            None => Ok(Worked::Through(through)),
        }
    }

    /// What this attempt runs: what the credential is used for, what was asked for, and not what an
    /// earlier attempt published.
    fn entries(&self, lease: &Lease, kept: &[model::RunCollector]) -> Vec<&'static Entry> {
        let only = lease.run.only_collectors();
        let all = collectors::of(lease.run.kind);
        let asked = |entry: &&Entry| only.is_empty() || only.iter().any(|o| o == entry.name);
        let open = |entry: &&Entry| !kept.iter().any(|k| k.name == entry.name);
        let chosen: Vec<&'static Entry> = all
            .iter()
            .filter(|entry| entry.is_used_by(&lease.credential))
            .filter(asked)
            .filter(open)
            .collect();
        // What belongs to objects is read with the objects, also when these were read already.
        let is_needed = |entry: &Entry| chosen.iter().any(|c| c.after == Some(entry.name));
        all.iter()
            .filter(|entry| chosen.iter().any(|c| c.name == entry.name) || is_needed(entry))
            .collect()
    }

    /// Runs collectors one after another, of which each reads what belongs to the one before.
    async fn chain(
        &self,
        stage: &Stage,
        client: &GraphClient,
        cloud: &Cloud,
        found: &Found,
        chain: Vec<&'static Entry>,
    ) -> model::Result<Result<Through, GraphError>> {
        let mut through = Through::default();
        let mut broken: Option<&str> = None;
        for entry in chain {
            if let Some(before) = broken.filter(|before| entry.after == Some(before)) {
                // Changes may have come with those of the one before.
                stage.abandon(entry.name).await?;
                stage.ended(entry.name, without(before));
                continue;
            }
            let pass = Pass {
                stage,
                client,
                cloud,
                meter: graph::Meter::default(),
                found,
            };
            stage.started(entry.name);
            let outcome = match (entry.absent_from)(cloud) {
                Some(why) => Err(Stop::NotHere(why)),
                None => (entry.run)(&pass).await,
            };
            stage.count(entry.name, pass.page_counts(0));
            let Err(stop) = outcome else {
                stage.ended(entry.name, succeeded());
                continue;
            };
            let stop = match stop {
                Stop::Model(error)
                    if error.is_outage() || matches!(error, model::Error::LeaseLost) =>
                {
                    return Err(error);
                }
                stop => stop,
            };
            let end = ending(&stop, entry.permission);
            through.note(entry.name, &stop, &end);
            if !matches!(stop, Stop::Partly(..)) {
                stage.abandon(entry.name).await?;
                broken = Some(entry.name);
            }
            stage.ended(entry.name, end);
            match stop {
                Stop::Graph(error @ GraphError::Locked(_)) => return Ok(Err(error)),
                Stop::Graph(error @ GraphError::Token { .. })
                    if error.class() != Class::Transient =>
                {
                    return Ok(Err(error));
                }
                _ => {}
            }
        }
        Ok(Ok(through))
    }

    /// No token: says whose turn it is, and marks what is broken.
    async fn refused(&self, lease: &Lease, error: &GraphError) -> model::Result<Worked> {
        let failure = Failure {
            code: error.code(),
            error: error.sentence(),
            remedy: Some(error.remedy()),
        };
        let code = error.code().unwrap_or_default();
        let scope = lease.scope();
        if let GraphError::Locked(_) = error {
            return Ok(Worked::Locked(failure));
        }
        match error.class() {
            Class::Credential => {
                let told = Err((code.as_str(), failure.error.as_str()));
                credential::note_result(scope, lease.credential.id, told).await?;
                Ok(Worked::Hopeless(failure))
            }
            Class::Consent => {
                tenant::disconnect(scope, lease.tenant.id, &code, &failure.error).await?;
                Ok(Worked::Hopeless(failure))
            }
            Class::Transient => {
                let after = match error {
                    GraphError::Throttled(after) => Some(*after),
                    _ => None,
                };
                Ok(Worked::Later(failure, after))
            }
            _ => Ok(Worked::Hopeless(failure)),
        }
    }

    async fn settle(&self, stage: &Stage, worked: Worked) -> model::Result<()> {
        let lease = stage.lease();
        match worked {
            Worked::Hopeless(failure) => stage.finish(RunState::Failed, None, Some(&failure)).await,
            Worked::Later(failure, after) => self.later(lease, failure, after).await,
            Worked::Locked(failure) => {
                let at = self.db.clock().now().plus_ms(LOCKED_MS);
                match lease.give_back(at, &failure).await {
                    Err(model::Error::LeaseLost) => self.stopped(lease).await,
                    other => other,
                }
            }
            Worked::Through(through) => {
                let ends = stage.settle_collectors().await?;
                if let Some(failure) = through.failure.clone()
                    && lease.run.attempt < run::MAX_ATTEMPTS
                {
                    let at = self.retry_at(lease, through.after);
                    return stage
                        .finish(RunState::Retrying, Some(at), Some(&failure))
                        .await;
                }
                // What an earlier attempt of the run published counts as well.
                let known = run::collectors(lease.scope(), &lease.run).await?;
                let states: Vec<CollectorState> = known
                    .iter()
                    .filter(|k| !ends.iter().any(|end| end.name == k.name))
                    .map(|k| k.state)
                    .chain(ends.iter().map(|end| end.state))
                    .collect();
                let state = overall(&states);
                let told = (state == RunState::Failed).then(|| {
                    through
                        .failure
                        .unwrap_or_else(|| simple("No collector could read anything."))
                });
                stage.finish(state, None, told.as_ref()).await
            }
        }
    }

    /// Gives the run back without publishing anything.
    async fn later(
        &self,
        lease: &Lease,
        failure: Failure,
        after: Option<Duration>,
    ) -> model::Result<()> {
        let at = self.retry_at(lease, after);
        match lease.retry_at(at, &failure).await {
            // Cancelled or taken over between the last page and now.
            Err(model::Error::LeaseLost) => self.stopped(lease).await,
            other => other,
        }
    }

    /// When to try again: as long as Microsoft asks, else 30 seconds doubled with each attempt.
    fn retry_at(&self, lease: &Lease, after: Option<Duration>) -> model::Timestamp {
        let pause =
            30_000 * 2_i64.pow(u32::try_from(lease.run.attempt.clamp(1, 8)).unwrap_or(1) - 1);
        let asked = after.map_or(0, |a| i64::try_from(a.as_millis()).unwrap_or(i64::MAX));
        self.db.clock().now().plus_ms(asked.max(pause))
    }
}

/// How long until a key service that does not answer is asked again.
const LOCKED_MS: i64 = 15_000;
/// How long a database that is away is waited for.
const OUTAGE: Duration = Duration::from_secs(120);

/// Does something with the database, again and again while that is away.
async fn outlast<T, F: Future<Output = model::Result<T>>>(
    what: impl Fn() -> F,
) -> model::Result<T> {
    let began = tokio::time::Instant::now();
    loop {
        match what().await {
            Err(error) if error.is_outage() && began.elapsed() < OUTAGE => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            other => return other,
        }
    }
}

/// What happened to the collectors that failed for a time.
#[derive(Debug, Default)]
struct Through {
    failure: Option<Failure>,
    after: Option<Duration>,
}

impl Through {
    fn note(&mut self, name: &str, stop: &Stop, end: &CollectorEnd) {
        if let Stop::Graph(GraphError::Throttled(after))
        | Stop::Partly(_, GraphError::Throttled(after)) = stop
        {
            self.after = self.after.max(Some(*after));
        }
        if is_passing(stop) {
            self.failure = Some(Failure {
                code: end.code.clone(),
                error: format!(
                    "{}: {}",
                    name.replace('_', " "),
                    end.reason.clone().unwrap_or_default()
                ),
                remedy: end.remedy.clone(),
            });
        }
    }

    fn add(&mut self, other: Self) {
        self.after = self.after.max(other.after);
        self.failure = self.failure.take().or(other.failure);
    }
}

/// Collectors that depend on each other, in order; each list is independent of the others.
fn chains(entries: &[&'static Entry]) -> Vec<Vec<&'static Entry>> {
    let mut chains: Vec<Vec<&'static Entry>> = Vec::new();
    for entry in entries {
        let before = entry.after.and_then(|before| {
            chains
                .iter_mut()
                .find(|chain| chain.iter().any(|e| e.name == before))
        });
        match before {
            Some(chain) => chain.push(entry),
            None => chains.push(vec![entry]),
        }
    }
    chains
}

fn overall(states: &[CollectorState]) -> RunState {
    let succeeded = |state: &CollectorState| *state == CollectorState::Succeeded;
    let stands = |state: &CollectorState| {
        matches!(state, CollectorState::Succeeded | CollectorState::Partial)
    };
    let failed = |state: &CollectorState| *state == CollectorState::Failed;
    if states.iter().all(succeeded) {
        RunState::Completed
    } else if states.iter().any(failed) && !states.iter().any(stands) {
        RunState::Failed
    } else {
        // What the tenant or its cloud does not have is no failure.
        RunState::Partial
    }
}

fn succeeded() -> CollectorEnd {
    CollectorEnd {
        state: CollectorState::Succeeded,
        code: None,
        reason: None,
        remedy: None,
    }
}

/// What belongs to objects is concluded from these, and they were not read to their end.
fn without(before: &str) -> CollectorEnd {
    CollectorEnd {
        state: CollectorState::Skipped,
        code: None,
        reason: Some(format!(
            "The {} were not read to their end, so what belongs to them was left alone.",
            before.replace('_', " ")
        )),
        remedy: None,
    }
}

fn is_passing(stop: &Stop) -> bool {
    match stop {
        Stop::Graph(error) | Stop::Partly(_, error) => error.class() == Class::Transient,
        Stop::Model(_) => true,
        Stop::NotHere(_) => false,
    }
}

async fn settle_cancelled(lease: &Lease) -> model::Result<()> {
    match lease.settle(RunState::Cancelled, None).await {
        Err(model::Error::LeaseLost) => Ok(()),
        other => other,
    }
}

fn simple(error: &str) -> Failure {
    Failure {
        code: None,
        error: error.to_owned(),
        remedy: None,
    }
}
