//! The clockwork: takes back runs of dead workers, plans what is due, hands runs to the queue.

use std::time::Duration;

use consent::Consent;
use keys::Keyring;
use model::{
    Db, Feature,
    alert::{self, Evaluation},
    credential, evidence, idempotency_key, run, session,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    checkpoints::{self, Elsewhere},
    deliveries::{self, Sender},
    intakes, reports,
    worker::Queue,
};

/// How often due syncs are planned.
const PLAN_EVERY: Duration = Duration::from_secs(20);
/// How often conditions of alerts are looked at.
const EVALUATE_EVERY: Duration = Duration::from_secs(20);
/// How often is looked whether an audit log's end is to be signed.
const SIGN_EVERY: Duration = Duration::from_secs(30);
/// How often old sessions and queue rows are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// Ticks until shutdown. Any number of processes may do so at the same time.
pub(crate) async fn run(
    db: Db,
    sender: Sender,
    elsewhere: Elsewhere,
    queue: Queue,
    tick: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let consent = sender.consent.clone();
    let keyring = consent.connection.keyring.clone();
    let signing = tokio::spawn(sign(db.clone(), keyring, elsewhere, tick, shutdown.clone()));
    let watching = tokio::spawn(watch_conditions(db.clone(), tick, shutdown.clone()));
    let serving = tokio::spawn(serve(db.clone(), sender.clone(), tick, shutdown.clone()));
    let sending = tokio::spawn(send(db.clone(), sender, tick, shutdown.clone()));
    // Waiting for Microsoft must not hold up the clockwork.
    let looking = tokio::spawn(look_at_consents(
        db.clone(),
        consent,
        tick,
        shutdown.clone(),
    ));
    let mut planned: Option<Instant> = None;
    let mut pruned: Option<Instant> = None;
    while !*shutdown.borrow() {
        if let Err(error) = run::sweep(&db).await {
            tracing::warn!(%error, "runs of dead workers could not be taken back");
        }
        if planned.is_none_or(|at| at.elapsed() >= PLAN_EVERY.min(tick * 20)) {
            match run::plan(&db).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "planned scheduled runs"),
                Err(error) => tracing::warn!(%error, "scheduled runs could not be planned"),
            }
            planned = Some(Instant::now());
        }
        if let Err(error) = dispatch(&db, &queue).await {
            tracing::warn!(%error, "runs could not be handed to the queue");
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            if let Err(error) = session::prune(&db).await {
                tracing::warn!(%error, "old sessions could not be removed");
            }
            if let Err(error) = idempotency_key::prune(&db).await {
                tracing::warn!(%error, "answers of a day ago could not be removed");
            }
            if let Err(error) = credential::secret::retire(&db).await {
                tracing::warn!(%error, "replaced secrets could not be removed");
            }
            if let Err(error) = queue.prune().await {
                tracing::warn!(%error, "old queue rows could not be removed");
            }
            pruned = Some(Instant::now());
        }
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            _ = shutdown.changed() => {}
        }
    }
    // They end with the same signal; that one panicked would have been logged.
    let _ = looking.await;
    let _ = signing.await;
    let _ = watching.await;
    let _ = sending.await;
    let _ = serving.await;
}

/// Writes evidence whose worker died, looks at the conditions of alerts, and makes reports that are due.
async fn watch_conditions(db: Db, tick: Duration, mut shutdown: watch::Receiver<bool>) {
    let mut memory = Evaluation::default();
    while !*shutdown.borrow() {
        if let Err(error) = evidence::attest_pending(&db).await {
            tracing::warn!(%error, "evidence of runs that ended could not be written");
        }
        if let Err(error) = alert::evaluate(&db, &mut memory, needed).await {
            tracing::warn!(%error, "alerts could not be evaluated");
        }
        if let Err(error) = reports::run(&db).await {
            tracing::warn!(%error, "monthly reports could not be made");
        }
        tokio::select! {
            () = tokio::time::sleep(EVALUATE_EVERY.min(tick * 20)) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Names of the permissions that a credential with these features needs.
fn needed(features: &[Feature], at_home: bool) -> Vec<String> {
    consent::permission::required(features)
        .iter()
        .filter(|p| at_home || !p.home_only)
        .map(|p| p.name.to_owned())
        .collect()
}

/// Sends what is in the outbox.
async fn send(db: Db, sender: Sender, tick: Duration, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow() {
        if let Err(error) = deliveries::run(&db, &sender).await {
            tracing::warn!(%error, "the outbox could not be emptied");
        }
        tokio::select! {
            () = tokio::time::sleep(tick * 2) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Sends events to the intakes.
async fn serve(db: Db, sender: Sender, tick: Duration, mut shutdown: watch::Receiver<bool>) {
    let idle = intakes::IDLE.min(tick * 20);
    while !*shutdown.borrow() {
        if let Err(error) = intakes::run(&db, &sender, idle, &shutdown).await {
            tracing::warn!(%error, "intakes could not be served");
        }
        tokio::select! {
            () = tokio::time::sleep(tick * 2) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Signs the ends of the audit logs, and takes them elsewhere.
async fn sign(
    db: Db,
    keyring: Keyring,
    elsewhere: Elsewhere,
    tick: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    while !*shutdown.borrow() {
        if let Err(error) = checkpoints::run(&db, &keyring, &elsewhere).await {
            tracing::warn!(%error, "checkpoints of the audit logs could not be taken elsewhere");
        }
        tokio::select! {
            () = tokio::time::sleep(SIGN_EVERY.min(tick * 40)) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// Looks again at consents that are still spreading.
async fn look_at_consents(
    db: Db,
    consent: Consent,
    tick: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    while !*shutdown.borrow() {
        if let Err(error) = consent::check_spreading(&db, &consent).await {
            tracing::warn!(%error, "spreading consents could not be looked at");
        }
        tokio::select! {
            () = tokio::time::sleep(tick) => {}
            _ = shutdown.changed() => {}
        }
    }
}

/// The one function that hands runs to the queue.
async fn dispatch(db: &Db, queue: &Queue) -> anyhow::Result<()> {
    let due = run::due(db).await?;
    if !due.is_empty() {
        queue.push(&due).await?;
        run::mark_pushed(db, &due).await?;
    }
    Ok(())
}
