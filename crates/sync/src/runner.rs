//! One run, from claim to settlement.

use std::{panic::AssertUnwindSafe, time::Duration};

use consent::Consent;
use futures_util::FutureExt;
use graph::{Class, Error as GraphError};
use model::{
    CollectorState, Db, PartnerId, RunId, RunState, credential,
    run::{self, Beat, CollectorEnd, Failure, Lease},
    tenant,
};
use tokio::time::Instant;

use crate::{
    collector::{Pass, Stop, ending},
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
            lease: Duration::from_secs(15),
            tick: Duration::from_secs(1),
        }
    }
}

/// Cancel is noticed within this.
const BEAT: Duration = Duration::from_secs(1);
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
    /// All collectors were tried; a failure that may pass happened, and Microsoft asked to wait.
    Through(Option<Failure>, Option<Duration>),
    /// Nothing could be read, for this reason, which trying again does not change.
    Hopeless(Failure),
    /// Nothing could be read, but later it may; not before this long.
    Later(Failure, Option<Duration>),
    /// The lease is lost or the run cancelled.
    Stopped,
}

impl Runner {
    /// Claims and works on a run; a delivery that came twice or too late does nothing.
    pub async fn run(&self, partner: PartnerId, id: RunId, worker: &str) -> model::Result<()> {
        let ttl = i64::try_from(self.settings.lease.as_millis()).unwrap_or(i64::MAX);
        let Some(lease) = run::claim(&self.db, partner, id, worker, ttl).await? else {
            return Ok(());
        };
        let work = AssertUnwindSafe(self.work(&lease)).catch_unwind();
        let worked = tokio::select! {
            worked = work => worked,
            beat = self.keep(&lease) => {
                return match beat {
                    Beat::Cancelled => settle_cancelled(&lease).await,
                    // Another worker has it, or the database was silent for too long: it is theirs.
                    Beat::Held | Beat::Lost => Ok(()),
                };
            }
            () = tokio::time::sleep(LONGEST_RUN) => Ok(Ok(Worked::Later(
                simple("The run took longer than six hours."), None))),
        };
        match worked {
            Ok(Ok(worked)) => self.settle(&lease, worked).await,
            Ok(Err(model::Error::LeaseLost)) => self.stopped(&lease).await,
            Ok(Err(error)) => {
                let failure = simple(&format!("The database failed: {error}."));
                self.settle(&lease, Worked::Later(failure, None)).await
            }
            Err(_) => {
                tracing::error!(run = %id, "a collector panicked");
                let failure = simple("A defect stopped the run. Report it with the job's number.");
                self.settle(&lease, Worked::Later(failure, None)).await
            }
        }
    }

    /// Renews the lease until it is lost or the run is cancelled. When the database does not answer
    /// for two thirds of the lease, the lease counts as lost: another worker may have it by then.
    async fn keep(&self, lease: &Lease) -> Beat {
        let mut held_at = Instant::now();
        loop {
            tokio::time::sleep(BEAT.min(self.settings.lease / 3)).await;
            match lease.beat().await {
                Ok(Beat::Held) => held_at = Instant::now(),
                Ok(other) => return other,
                Err(error) => {
                    tracing::warn!(%error, "a lease could not be renewed");
                    if held_at.elapsed() > self.settings.lease * 2 / 3 {
                        return Beat::Lost;
                    }
                }
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

    async fn work(&self, lease: &Lease) -> model::Result<Worked> {
        let all = collectors::names(lease.run.kind);
        let only = lease.run.only_collectors();
        let names: Vec<&str> = all
            .iter()
            .copied()
            .filter(|n| collectors::is_used(n, &lease.credential))
            .filter(|n| only.is_empty() || only.iter().any(|o| o == n) || is_needed_by(n, &only))
            .collect();
        lease.announce(&names).await?;
        let priority = match lease.run.cause {
            model::RunCause::Schedule => "low",
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
        let cloud = connection.clouds.get(&lease.credential.cloud);
        let Some(cloud) = cloud else {
            return Ok(Worked::Hopeless(simple("The cloud is not configured.")));
        };
        let mut passing = None;
        let mut longest = None;
        let mut groups_are_complete = true;
        for name in names {
            if name == collectors::GROUP_MEMBERS && !groups_are_complete {
                lease.collector_ended(name, &without_groups()).await?;
                continue;
            }
            let pass = Pass {
                lease,
                client: &client,
                cloud: &cloud,
                meter: graph::Meter::default(),
            };
            let expected = collectors::expected(name, &pass).await?;
            lease.collector_started(name, expected).await?;
            let end = match collectors::run(name, &pass).await {
                Ok(()) => CollectorEnd {
                    state: CollectorState::Succeeded,
                    code: None,
                    reason: None,
                    remedy: None,
                },
                Err(Stop::Model(model::Error::LeaseLost)) => return Ok(Worked::Stopped),
                Err(stop) => {
                    if let Stop::Graph(error @ GraphError::Token { .. }) = &stop
                        && error.class() != Class::Transient
                    {
                        // The token lapsed and no new one is given: that is the run's failure.
                        lease
                            .collector_ended(
                                name,
                                &ending(&stop, collectors::permission(name), false),
                            )
                            .await?;
                        return self.refused(lease, error).await;
                    }
                    if let Stop::Graph(GraphError::Throttled(after)) = &stop {
                        longest = longest.max(Some(*after));
                    }
                    lease.count(name, pass.page_counts(0)).await?;
                    let read = pages_read(lease, name).await?;
                    let end = ending(&stop, collectors::permission(name), read);
                    if is_passing(&stop) {
                        passing = Some(Failure {
                            code: end.code.clone(),
                            error: format!("{name}: {}", end.reason.clone().unwrap_or_default()),
                            remedy: end.remedy.clone(),
                        });
                    }
                    end
                }
            };
            if name == collectors::GROUPS {
                groups_are_complete = end.state == CollectorState::Succeeded;
            }
            lease.collector_ended(name, &end).await?;
        }
        Ok(Worked::Through(passing, longest))
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

    async fn settle(&self, lease: &Lease, worked: Worked) -> model::Result<()> {
        let settled = match worked {
            Worked::Stopped => return self.stopped(lease).await,
            Worked::Hopeless(failure) => lease.settle(RunState::Failed, Some(&failure)).await,
            Worked::Later(failure, after) => {
                lease.retry_at(self.later(lease, after), &failure).await
            }
            Worked::Through(Some(failure), after) if lease.run.attempt < run::MAX_ATTEMPTS => {
                lease.retry_at(self.later(lease, after), &failure).await
            }
            Worked::Through(failure, _) => {
                let collectors = run::collectors(lease.scope(), &lease.run).await?;
                let succeeded = |c: &model::RunCollector| c.state == CollectorState::Succeeded;
                let state = if collectors.iter().all(succeeded) {
                    RunState::Completed
                } else if collectors.iter().any(succeeded) {
                    RunState::Partial
                } else {
                    RunState::Failed
                };
                let told = (state == RunState::Failed).then(|| {
                    failure.unwrap_or_else(|| simple("No collector could read anything."))
                });
                lease.settle(state, told.as_ref()).await
            }
        };
        match settled {
            // Cancelled or taken over between the last page and now.
            Err(model::Error::LeaseLost) => Ok(()),
            other => other,
        }
    }

    /// When to try again: as long as Microsoft asks, else 30 seconds doubled with each attempt.
    fn later(&self, lease: &Lease, after: Option<Duration>) -> model::Timestamp {
        let pause =
            30_000 * 2_i64.pow(u32::try_from(lease.run.attempt.clamp(1, 8)).unwrap_or(1) - 1);
        let asked = after.map_or(0, |a| i64::try_from(a.as_millis()).unwrap_or(i64::MAX));
        self.db.clock().now().plus_ms(asked.max(pause))
    }
}

/// Members are read of the groups that the same run read.
fn is_needed_by(name: &str, only: &[String]) -> bool {
    name == "groups" && only.iter().any(|o| o == "group_members")
}

/// Members are concluded from groups, and these were not read to their end.
fn without_groups() -> CollectorEnd {
    CollectorEnd {
        state: CollectorState::Skipped,
        code: None,
        reason: Some(
            "The groups were not read to their end, so their members were left alone.".into(),
        ),
        remedy: None,
    }
}

fn is_passing(stop: &Stop) -> bool {
    match stop {
        Stop::Graph(error) => error.class() == Class::Transient,
        Stop::Model(_) => true,
        Stop::NotHere(_) => false,
    }
}

async fn pages_read(lease: &Lease, name: &str) -> model::Result<bool> {
    Ok(run::collectors(lease.scope(), &lease.run)
        .await?
        .iter()
        .any(|c| c.name == name && c.pages > 0))
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
