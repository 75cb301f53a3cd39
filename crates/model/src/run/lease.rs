//! A worker's hold on a run: a lease on the database's clock and a fencing number that every write
//! checks, so that a worker that was taken for dead cannot write after its successor began.

use sea_orm::EntityTrait;
use serde_json::json;

use crate::{
    Actor, CollectorState, Db, Error, Mapping, MappingId, PartnerId, Result, Role, Run, RunId,
    RunState, Scope, Timestamp,
    audit::{self, Target},
    credential::Credential,
    db::{Tx, execute, query_one},
    delivery,
    entity::{credential as credential_entity, mapping, run, tenant},
    run_event,
    scope::begin_for,
};

/// What a worker holds while it works on a run.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The run as claimed.
    pub run: Run,
    /// Its mapping.
    pub mapping: Mapping,
    /// The tenant to read.
    pub tenant: crate::Tenant,
    /// The credential to read with.
    pub credential: Credential,
    scope: Scope,
    fence: i64,
    generation: i64,
    published: i64,
    ttl_ms: i64,
}

/// What a heartbeat learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Carry on.
    Held,
    /// Somebody cancelled the run: stop and settle it as cancelled.
    Cancelled,
    /// Another worker has it: stop and write nothing.
    Lost,
}

/// Work done by a collector since the last write: added to its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pages read.
    pub pages: i64,
    /// Objects read.
    pub read: i64,
    /// Objects not known before.
    pub new: i64,
    /// Objects that differ from what was known.
    pub changed: i64,
    /// Objects marked removed.
    pub removed: i64,
    /// Requests sent.
    pub requests: i64,
    /// Requests that Microsoft throttled.
    pub throttled: i64,
    /// Milliseconds waited because of that.
    pub waited_ms: i64,
}

impl Counts {
    /// Adds.
    pub fn add(&mut self, other: Self) {
        self.pages += other.pages;
        self.read += other.read;
        self.new += other.new;
        self.changed += other.changed;
        self.removed += other.removed;
        self.requests += other.requests;
        self.throttled += other.throttled;
        self.waited_ms += other.waited_ms;
    }
}

/// How a collector ended.
#[derive(Debug, Clone)]
pub struct CollectorEnd {
    /// Succeeded, partial, skipped, failed or cancelled.
    pub state: CollectorState,
    /// Microsoft's code, if any.
    pub code: Option<String>,
    /// Why, in words.
    pub reason: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

/// Why a run failed or is tried again.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Microsoft's code, if any.
    pub code: Option<String>,
    /// What happened.
    pub error: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// Claims a waiting run for `worker`. The attempt is counted here, so that a run that kills its
/// worker is not tried for ever. `None` when it does not wait any more: a doubled delivery.
pub async fn claim(
    db: &Db,
    partner: PartnerId,
    id: RunId,
    worker: &str,
    ttl_ms: i64,
) -> Result<Option<Lease>> {
    let tx = begin_for(db, partner).await?;
    let now = db.clock().now();
    let claimed = execute(
        &tx.conn,
        &format!(
            "UPDATE runs SET state = 'running', attempt = attempt + 1, fence = fence + 1,
                worker = $1, lease_until = {} + $2, started_at = COALESCE(started_at, $3),
                finished_at = NULL, error = NULL, error_code = NULL, remedy = NULL
             WHERE partner_id = $4 AND id = $5 AND state IN ('queued', 'retrying')
                AND not_before <= {}",
            db.now_sql(),
            db.now_sql()
        ),
        vec![
            worker.into(),
            ttl_ms.into(),
            now.into(),
            partner.into(),
            id.into(),
        ],
    )
    .await?;
    if claimed == 0 {
        return Ok(None);
    }
    let missing = || Error::Stored("a run's row, mapping, tenant or credential is gone".into());
    let run = run::Entity::find_by_id((partner, id))
        .one(&tx.conn)
        .await?
        .ok_or_else(missing)?;
    let snapshot = query_one(
        &tx.conn,
        "INSERT INTO snapshots (partner_id, mapping_id, kind, generation, published)
         VALUES ($1, $2, $3, 1, 0)
         ON CONFLICT (partner_id, mapping_id, kind)
            DO UPDATE SET generation = snapshots.generation + 1
         RETURNING generation, published",
        vec![
            partner.into(),
            run.mapping_id.into(),
            run.kind.as_str().into(),
        ],
    )
    .await?
    .ok_or_else(missing)?;
    let mapping = mapping::Entity::find_by_id((partner, run.mapping_id))
        .one(&tx.conn)
        .await?
        .ok_or_else(missing)?;
    let tenant = tenant::Entity::find_by_id((partner, mapping.tenant_id))
        .one(&tx.conn)
        .await?
        .ok_or_else(missing)?;
    let credential = credential_entity::Entity::find_by_id((partner, mapping.credential_id))
        .one(&tx.conn)
        .await?
        .ok_or_else(missing)?
        .into();
    // What an earlier attempt published stands; the rest is read again.
    execute(
        &tx.conn,
        "DELETE FROM run_collectors
         WHERE partner_id = $1 AND run_id = $2 AND state NOT IN ('succeeded', 'skipped')",
        vec![partner.into(), id.into()],
    )
    .await?;
    let text = format!("Attempt {} of {} started", run.attempt, super::MAX_ATTEMPTS);
    run_event::append(&tx.conn, partner, id, now, "info", &text).await?;
    let actor = Actor {
        kind: "run",
        id: id.to_string(),
        name: format!("job #{}", run.number),
        address: String::new(),
    };
    let scope = Scope::new(db, partner, Role::Technician, actor);
    let detail = json!({ "kind": run.kind, "attempt": run.attempt });
    audit::append(&tx, &scope, "run.start", subject(&run, &tenant), detail).await?;
    tx.commit().await?;
    Ok(Some(Lease {
        scope,
        fence: run.fence,
        generation: snapshot.try_get("", "generation")?,
        published: snapshot.try_get("", "published")?,
        ttl_ms,
        run,
        mapping,
        tenant,
        credential,
    }))
}

/// What an audit row about a run's work names: whose directory was read.
fn subject(run: &Run, tenant: &crate::Tenant) -> Target {
    Target::new("run", run.id, tenant.display_name.as_str())
}

impl Lease {
    /// The scope of the run's partner, acting as the run.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Number of this pass over the mapping: what it writes carries it.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// The generation that readers see while this one is written.
    pub(crate) fn published(&self) -> i64 {
        self.published
    }

    /// The mapping whose rows this run may write.
    pub fn mapping_id(&self) -> MappingId {
        self.mapping.id
    }

    /// Renews the lease. Called at a third of its life and when a page takes long.
    pub async fn beat(&self) -> Result<Beat> {
        let tx = self.scope.begin_beside().await?;
        let beat = self.beat_in(&tx).await?;
        tx.commit().await?;
        Ok(beat)
    }

    async fn beat_in(&self, tx: &Tx) -> Result<Beat> {
        let row = query_one(
            &tx.conn,
            &format!(
                "UPDATE runs SET lease_until = {} + $1
                 WHERE partner_id = $2 AND id = $3 AND fence = $4 AND state = 'running'
                 RETURNING cancel_requested_at",
                self.scope.db().now_sql()
            ),
            vec![
                self.ttl_ms.into(),
                self.run.partner_id.into(),
                self.run.id.into(),
                self.fence.into(),
            ],
        )
        .await?;
        Ok(match row {
            None => Beat::Lost,
            Some(row) => match row.try_get::<Option<Timestamp>>("", "cancel_requested_at")? {
                Some(_) => Beat::Cancelled,
                None => Beat::Held,
            },
        })
    }

    /// Begins a write that goes through only while the lease is held.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.held(self.scope.begin_beside().await?).await
    }

    /// The same for a write that ends with an audit row: the partner's row is locked first.
    pub(crate) async fn begin_audited(&self) -> Result<Tx> {
        self.held(self.scope.begin().await?).await
    }

    async fn held(&self, tx: Tx) -> Result<Tx> {
        match self.beat_in(&tx).await? {
            Beat::Held => Ok(tx),
            Beat::Cancelled | Beat::Lost => Err(Error::LeaseLost),
        }
    }

    /// Settles the run in an end state.
    pub async fn settle(&self, state: RunState, failure: Option<&Failure>) -> Result<()> {
        self.leave(state, None, failure).await
    }

    /// Gives the run back to be tried again at `at`; after the last attempt it fails instead.
    pub async fn retry_at(&self, at: Timestamp, failure: &Failure) -> Result<()> {
        if self.run.attempt >= super::MAX_ATTEMPTS {
            self.leave(RunState::Failed, None, Some(failure)).await
        } else {
            self.leave(RunState::Retrying, Some(at), Some(failure))
                .await
        }
    }

    /// Gives the run back until `at`, because what everything stands on was away, which is not the
    /// run's fault: the attempt does not count.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] when somebody has taken it meanwhile.
    pub async fn give_back(&self, at: Timestamp, failure: &Failure) -> Result<()> {
        let tx = self.scope.begin().await?;
        self.leave_in(&tx, RunState::Retrying, Some(at), Some(failure))
            .await?;
        let key: Vec<sea_orm::Value> = vec![self.run.partner_id.into(), self.run.id.into()];
        // The next delivery has this attempt's number again.
        execute(
            &tx.conn,
            "UPDATE runs SET attempt = attempt - 1, pushed_attempt = NULL
             WHERE partner_id = $1 AND id = $2",
            key.clone(),
        )
        .await?;
        execute(
            &tx.conn,
            "DELETE FROM run_collectors WHERE partner_id = $1 AND run_id = $2",
            key,
        )
        .await?;
        tx.commit().await
    }

    async fn leave(
        &self,
        state: RunState,
        at: Option<Timestamp>,
        failure: Option<&Failure>,
    ) -> Result<()> {
        let tx = self.scope.begin().await?;
        self.leave_in(&tx, state, at, failure).await?;
        // Nothing of this attempt was published, so nothing of it counts as read.
        let sql = match state {
            RunState::Retrying => {
                "DELETE FROM run_collectors WHERE partner_id = $1 AND run_id = $2"
            }
            _ => {
                "UPDATE run_collectors SET state = 'cancelled'
                 WHERE partner_id = $1 AND run_id = $2 AND state IN ('succeeded', 'partial')"
            }
        };
        let key = vec![self.run.partner_id.into(), self.run.id.into()];
        execute(&tx.conn, sql, key).await?;
        tx.commit().await
    }

    /// Settles the run inside the transaction that publishes what it read. After the last attempt
    /// there is no retry: the run fails.
    pub(crate) async fn leave_in(
        &self,
        tx: &Tx,
        state: RunState,
        at: Option<Timestamp>,
        failure: Option<&Failure>,
    ) -> Result<()> {
        let now = self.scope.now();
        // How long from now: this machine's clock says how long, the database's when that is over.
        let wait = at.map(|at| at.0 - now.0);
        let left = execute(
            &tx.conn,
            &format!(
                "UPDATE runs SET state = $1, worker = NULL, lease_until = NULL,
                    not_before = COALESCE({} + CAST($2 AS BIGINT), not_before), finished_at = $3,
                    error_code = $4, error = $5, remedy = $6
                 WHERE partner_id = $7 AND id = $8 AND fence = $9 AND state = 'running'",
                self.scope.db().now_sql()
            ),
            vec![
                state.as_str().into(),
                wait.into(),
                at.is_none().then_some(now).into(),
                failure.and_then(|f| f.code.clone()).into(),
                failure.map(|f| f.error.clone()).into(),
                failure.and_then(|f| f.remedy.clone()).into(),
                self.run.partner_id.into(),
                self.run.id.into(),
                self.fence.into(),
            ],
        )
        .await?;
        if left == 0 {
            return Err(Error::LeaseLost);
        }
        // The age of a company's data is that of its directory; Secure Score has days of its own.
        let is_directory = self.run.kind == crate::RunKind::Directory;
        if is_directory
            && matches!(
                state,
                RunState::Completed | RunState::Partial | RunState::Failed
            )
        {
            execute(
                &tx.conn,
                "UPDATE mappings SET last_sync_at = CASE WHEN $1 = 'failed' THEN last_sync_at
                    ELSE CAST($2 AS BIGINT) END, last_sync_state = $1
                 WHERE partner_id = $3 AND id = $4",
                vec![
                    state.as_str().into(),
                    now.into(),
                    self.run.partner_id.into(),
                    self.mapping.id.into(),
                ],
            )
            .await?;
        }
        if matches!(state, RunState::Cancelled | RunState::Failed) {
            end_collectors(tx, &self.run, now).await?;
        }
        let (level, text) = match (state, failure) {
            (RunState::Completed, _) => ("info", "Completed".to_owned()),
            (RunState::Cancelled, _) => ("warn", "Stopped because it was cancelled".to_owned()),
            (RunState::Partial, _) => ("warn", "Ended; some collectors did not succeed".to_owned()),
            (RunState::Retrying, Some(f)) => (
                "warn",
                format!(
                    "{} It is tried again at {}.",
                    f.error,
                    at.unwrap_or(now).rfc3339()
                ),
            ),
            (_, Some(f)) => ("error", f.error.clone()),
            (other, None) => ("info", other.to_string()),
        };
        run_event::append(
            &tx.conn,
            self.run.partner_id,
            self.run.id,
            now,
            level,
            &text,
        )
        .await?;
        let detail = json!({
            "kind": self.run.kind,
            "attempt": self.run.attempt,
            "state": state,
            "error_code": failure.and_then(|f| f.code.clone()),
        });
        let target = subject(&self.run, &self.tenant);
        audit::append(tx, &self.scope, "run.end", target, detail).await?;
        let error = failure.map(|f| f.error.as_str());
        delivery::tell_run(tx, &self.scope, &self.run, state, error).await
    }
}

/// Collectors that did not end before their run did.
pub(super) async fn end_collectors(tx: &Tx, run: &Run, now: Timestamp) -> Result<()> {
    execute(
        &tx.conn,
        "UPDATE run_collectors SET state = 'cancelled', finished_at = $1
         WHERE partner_id = $2 AND run_id = $3 AND state IN ('running', 'waiting')",
        vec![now.into(), run.partner_id.into(), run.id.into()],
    )
    .await?;
    Ok(())
}
