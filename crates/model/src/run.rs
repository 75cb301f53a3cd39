//! Runs: the work that people see. A run is asked for in the transaction of whatever asked, planned
//! by slot, claimed under a lease with a fencing number, and settled by whoever holds that number.
//!
//! This file has what people do with runs; [`plan`] and [`lease`] have what workers do.

use std::collections::HashMap;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::json;

use crate::{
    CompanyId, CredentialId, Error, Feature, Listing, Mapping, MappingId, Result, Role, Run,
    RunCause, RunCollector, RunId, RunKind, RunState, Scope, Timestamp, Window,
    audit::{self, Target},
    db::{Tx, execute, query_all, query_one},
    delivery,
    entity::{
        credential, mapping,
        run::{ActiveModel, Column, Entity},
        run_collector,
    },
    run_event,
};

pub mod lease;
pub mod plan;
mod upcoming;

pub use lease::{Beat, CollectorEnd, Counts, Failure, Lease, claim};
pub use plan::{Due, due, mark_pushed, plan, sweep};
pub use upcoming::{Upcoming, upcoming};

/// A run is given up after this many attempts, crashes included.
pub const MAX_ATTEMPTS: i64 = 5;

/// What people wait for goes ahead of the plan.
const PRIORITY_PERSON: i64 = 10;
const PRIORITY_SCHEDULE: i64 = 0;

impl Run {
    /// Names of the collectors that it is limited to; empty for all.
    pub fn only_collectors(&self) -> Vec<String> {
        self.collectors
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default()
    }
}

/// Asks for runs of a company's mappings (or of one mapping) now; a run that is open already is
/// answered instead of a second one.
///
/// `None` when there is no such company or mapping in scope; an empty list when the company has no
/// mapping.
pub async fn request(
    scope: &Scope,
    of: Of,
    kinds: &[RunKind],
    cause: RunCause,
) -> Result<Option<Vec<Run>>> {
    scope.require(Role::Technician)?;
    let tx = scope.begin().await?;
    let query = scope
        .find::<mapping::Entity>()
        .filter(mapping::Column::DeletedAt.is_null());
    let mappings = match of {
        Of::Company(id) => {
            let company = scope
                .find::<crate::entity::company::Entity>()
                .filter(crate::entity::company::Column::Id.eq(id))
                .one(&tx.conn)
                .await?;
            if company.is_none() {
                return Ok(None);
            }
            query
                .filter(mapping::Column::CompanyId.eq(id))
                .order_by_asc(mapping::Column::Id)
                .all(&tx.conn)
                .await?
        }
        Of::Mapping(id) => {
            let found = query
                .filter(mapping::Column::Id.eq(id))
                .one(&tx.conn)
                .await?;
            match found {
                None => return Ok(None),
                Some(mapping) => vec![mapping],
            }
        }
    };
    let mut runs = Vec::new();
    for mapping in &mappings {
        for kind in used_kinds(&tx, scope, mapping).await? {
            if kinds.contains(&kind) {
                runs.push(request_in(&tx, scope, mapping, kind, cause, None).await?);
            }
        }
    }
    tx.commit().await?;
    Ok(Some(runs))
}

/// The kinds of runs that a mapping's credential is used for.
pub(crate) async fn used_kinds(tx: &Tx, scope: &Scope, mapping: &Mapping) -> Result<Vec<RunKind>> {
    let credential = credential::Entity::find_by_id((scope.partner(), mapping.credential_id))
        .one(&tx.conn)
        .await?
        .map(crate::credential::Credential::from);
    let uses = |feature| credential.as_ref().is_some_and(|c| c.uses(feature));
    Ok(RunKind::ALL
        .iter()
        .copied()
        .filter(|kind| match kind {
            RunKind::Directory => true,
            RunKind::SecureScore => uses(Feature::SecureScore),
            RunKind::SignInActivity => uses(Feature::Activity),
        })
        .collect())
}

/// Whose runs.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    /// All live mappings of a company.
    Company(CompanyId),
    /// One mapping.
    Mapping(MappingId),
}

pub(crate) async fn request_in(
    tx: &Tx,
    scope: &Scope,
    mapping: &Mapping,
    kind: RunKind,
    cause: RunCause,
    collectors: Option<&[String]>,
) -> Result<Run> {
    let open = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(Column::MappingId.eq(mapping.id))
        .filter(Column::Kind.eq(kind))
        .filter(Column::State.is_in([RunState::Queued, RunState::Running, RunState::Retrying]))
        .one(&tx.conn)
        .await?;
    if let Some(run) = open {
        // Somebody waits for it now: it goes ahead of the plan.
        execute(
            &tx.conn,
            "UPDATE runs SET priority = $1, pushed_attempt = NULL
             WHERE partner_id = $2 AND id = $3 AND priority < $1",
            vec![
                PRIORITY_PERSON.into(),
                scope.partner().into(),
                run.id.into(),
            ],
        )
        .await?;
        return Ok(run);
    }
    let run = insert(tx, scope, mapping, kind, cause, None, collectors).await?;
    if kind == RunKind::SignInActivity {
        // It serves the plan as well: reads of it are few, and shared by all tenants.
        execute(
            &tx.conn,
            "UPDATE mappings SET planned_sign_in_activity = $1 WHERE partner_id = $2 AND id = $3",
            vec![
                scope.now().into(),
                scope.partner().into(),
                mapping.id.into(),
            ],
        )
        .await?;
    }
    audit::append(
        tx,
        scope,
        "run.request",
        Target::new("run", run.id, format!("#{}", run.number)),
        json!({ "mapping_id": mapping.id, "kind": kind, "cause": cause, "collectors": collectors }),
    )
    .await?;
    Ok(run)
}

async fn insert(
    tx: &Tx,
    scope: &Scope,
    mapping: &Mapping,
    kind: RunKind,
    cause: RunCause,
    slot: Option<i64>,
    collectors: Option<&[String]>,
) -> Result<Run> {
    let number: i64 = query_one(
        &tx.conn,
        "UPDATE partners SET run_number = run_number + 1 WHERE id = $1 RETURNING run_number",
        vec![mapping.partner_id.into()],
    )
    .await?
    .ok_or_else(|| Error::Stored("the partner of a run does not exist".into()))?
    .try_get("", "run_number")?;
    let now = scope.now();
    let priority = match cause {
        RunCause::Schedule => PRIORITY_SCHEDULE,
        _ => PRIORITY_PERSON,
    };
    let run = ActiveModel {
        partner_id: Set(mapping.partner_id),
        id: Set(RunId::generate(scope.db().clock())),
        number: Set(number),
        mapping_id: Set(mapping.id),
        company_id: Set(mapping.company_id),
        kind: Set(kind),
        cause: Set(cause),
        requested_by: Set(scope.actor().name.clone()),
        slot: Set(slot),
        state: Set(RunState::Queued),
        priority: Set(priority),
        collectors: Set(collectors.map(|c| json!(c).to_string())),
        attempt: Set(0),
        fence: Set(0),
        worker: Set(None),
        lease_until: Set(None),
        // At once. Never by this machine's clock, which may be ahead of who claims it.
        not_before: Set(Timestamp(0)),
        pushed_attempt: Set(None),
        pushed_at: Set(None),
        cancel_requested_at: Set(None),
        error_code: Set(None),
        error: Set(None),
        remedy: Set(None),
        created_at: Set(now),
        started_at: Set(None),
        finished_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    run_event::append(&tx.conn, run.partner_id, run.id, now, "info", "Queued").await?;
    Ok(run)
}

/// Filters of the list of jobs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one company.
    pub company: Option<CompanyId>,
    /// Of one mapping.
    pub mapping: Option<MappingId>,
    /// Of one kind.
    pub kind: Option<RunKind>,
    /// In any of these states; empty for all.
    pub states: Vec<RunState>,
    /// Asked for at this moment or later.
    pub since: Option<Timestamp>,
    /// Asked for before this moment.
    pub until: Option<Timestamp>,
}

/// Newest first.
pub async fn list(scope: &Scope, filter: &Filter, window: Window) -> Result<Listing<Run>> {
    let mut query = scope.find::<Entity>();
    if let Some(id) = filter.company {
        query = query.filter(Column::CompanyId.eq(id));
    }
    if let Some(id) = filter.mapping {
        query = query.filter(Column::MappingId.eq(id));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(Column::Kind.eq(kind));
    }
    if let Some(at) = filter.since {
        query = query.filter(Column::CreatedAt.gte(at));
    }
    if let Some(at) = filter.until {
        query = query.filter(Column::CreatedAt.lt(at));
    }
    if !filter.states.is_empty() {
        query = query.filter(Column::State.is_in(filter.states.iter().copied()));
    }
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Number)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// Number of runs in each state, of what the scope sees.
pub async fn counts(scope: &Scope) -> Result<HashMap<RunState, i64>> {
    let rows: Vec<(RunState, i64)> = scope
        .find::<Entity>()
        .select_only()
        .column(Column::State)
        .column_as(Column::Id.count(), "runs")
        .group_by(Column::State)
        .into_tuple()
        .all(&scope.conn())
        .await?;
    Ok(rows.into_iter().collect())
}

/// Since when the run waits that has waited longest for a worker, of what the scope sees.
pub async fn oldest_waiting(scope: &Scope) -> Result<Option<Run>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::State.eq(RunState::Queued))
        .order_by_asc(Column::CreatedAt)
        .one(&scope.conn())
        .await?)
}

/// One run.
pub async fn get(scope: &Scope, id: RunId) -> Result<Option<Run>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// What its collectors did, in order.
pub async fn collectors(scope: &Scope, run: &Run) -> Result<Vec<RunCollector>> {
    Ok(run_collector::Entity::find()
        .filter(run_collector::Column::PartnerId.eq(scope.partner()))
        .filter(run_collector::Column::RunId.eq(run.id))
        .order_by_asc(run_collector::Column::Position)
        .all(&scope.conn())
        .await?)
}

/// The newest run of a kind of every mapping in scope.
pub async fn newest_by_mapping(scope: &Scope, kind: RunKind) -> Result<HashMap<MappingId, Run>> {
    let mut ids = Vec::new();
    for row in query_all(
        &scope.conn(),
        "SELECT mapping_id, MAX(number) AS number FROM runs
         WHERE partner_id = $1 AND kind = $2 GROUP BY mapping_id",
        vec![scope.partner().into(), kind.as_str().into()],
    )
    .await?
    {
        ids.push(row.try_get::<i64>("", "number")?);
    }
    let mut runs = HashMap::new();
    for chunk in ids.chunks(500) {
        for run in scope
            .find::<Entity>()
            .filter(Column::Number.is_in(chunk.iter().copied()))
            .all(&scope.conn())
            .await?
        {
            runs.insert(run.mapping_id, run);
        }
    }
    Ok(runs)
}

/// Cancels a run: at once when no worker has it, else the worker stops within two seconds. Answers
/// the run as it is now.
///
/// # Errors
/// [`Error::Conflict`] when it has ended.
pub async fn cancel(scope: &Scope, id: RunId) -> Result<Option<Run>> {
    scope.require(Role::Technician)?;
    let tx = scope.begin().await?;
    let Some(run) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(None);
    };
    if !run.state.is_open() {
        return Err(Error::Conflict(format!(
            "Job {} has ended already; there is nothing to cancel.",
            run.number
        )));
    }
    cancel_in(&tx, scope, &run).await?;
    audit::append(
        &tx,
        scope,
        "run.cancel",
        Target::new("run", id, format!("#{}", run.number)),
        json!({}),
    )
    .await?;
    tx.commit().await?;
    get(scope, id).await
}

async fn cancel_in(tx: &Tx, scope: &Scope, run: &Run) -> Result<()> {
    let now = scope.now();
    let text = format!("Cancelled by {}", scope.actor().name);
    let key = vec![now.into(), run.partner_id.into(), run.id.into()];
    // Whoever has it stops at the next heartbeat; where nobody has, it ends here. Both are tried,
    // because a worker may claim or settle it between the read and now.
    execute(
        &tx.conn,
        "UPDATE runs SET cancel_requested_at = $1
         WHERE partner_id = $2 AND id = $3 AND state = 'running'",
        key.clone(),
    )
    .await?;
    let ended = execute(
        &tx.conn,
        "UPDATE runs SET state = 'cancelled', cancel_requested_at = $1, finished_at = $1
         WHERE partner_id = $2 AND id = $3 AND state IN ('queued', 'retrying')",
        key,
    )
    .await?;
    if ended > 0 {
        delivery::tell_run(tx, scope, run, RunState::Cancelled, None).await?;
    }
    run_event::append(&tx.conn, run.partner_id, run.id, now, "warn", &text).await
}

pub(crate) async fn cancel_for_mapping(tx: &Tx, scope: &Scope, id: MappingId) -> Result<()> {
    cancel_where(tx, scope, Column::MappingId.eq(id)).await
}

pub(crate) async fn cancel_for_credential(tx: &Tx, scope: &Scope, id: CredentialId) -> Result<()> {
    let mappings: Vec<MappingId> = mapping::Entity::find()
        .filter(mapping::Column::PartnerId.eq(scope.partner()))
        .filter(mapping::Column::CredentialId.eq(id))
        .all(&tx.conn)
        .await?
        .into_iter()
        .map(|m| m.id)
        .collect();
    cancel_where(tx, scope, Column::MappingId.is_in(mappings)).await
}

async fn cancel_where(
    tx: &Tx,
    scope: &Scope,
    condition: sea_orm::sea_query::SimpleExpr,
) -> Result<()> {
    let open = Entity::find()
        .filter(Column::PartnerId.eq(scope.partner()))
        .filter(condition)
        .filter(Column::State.is_in([RunState::Queued, RunState::Running, RunState::Retrying]))
        .all(&tx.conn)
        .await?;
    for run in open {
        cancel_in(tx, scope, &run).await?;
    }
    Ok(())
}

/// Another try of a run that ended: of everything, or of the collectors that did not succeed.
///
/// # Errors
/// [`Error::Conflict`] when it is still open, or its mapping is deleted.
pub async fn retry(scope: &Scope, id: RunId, only_failed: bool) -> Result<Option<Run>> {
    scope.require(Role::Technician)?;
    let Some(run) = get(scope, id).await? else {
        return Ok(None);
    };
    if run.state.is_open() {
        return Err(Error::Conflict(format!(
            "Job {} has not ended yet.",
            run.number
        )));
    }
    let names: Vec<String> = collectors(scope, &run)
        .await?
        .into_iter()
        .filter(|c| c.state != crate::CollectorState::Succeeded)
        .map(|c| c.name)
        .collect();
    let only = (only_failed && !names.is_empty()).then_some(names);
    let tx = scope.begin().await?;
    let mapping = scope
        .find::<mapping::Entity>()
        .filter(mapping::Column::Id.eq(run.mapping_id))
        .filter(mapping::Column::DeletedAt.is_null())
        .one(&tx.conn)
        .await?
        .ok_or_else(|| {
            Error::Conflict("The mapping of this job is deleted. Map the company again.".into())
        })?;
    let again = request_in(
        &tx,
        scope,
        &mapping,
        run.kind,
        RunCause::Retry,
        only.as_deref(),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(again))
}
