//! The outbox: what a channel is to send is written in the transaction of what it tells of. A worker
//! takes each row under a lease on the database's clock and sends it, again where that failed: at least
//! once, with an id by which the other side can drop doubles.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use serde_json::json;

use crate::{
    Actor, Alert, ChannelEvent, ChannelId, CompanyId, Db, Delivery, DeliveryId, DeliveryState,
    DirectoryId, Error, Listing, MappingId, PartnerId, Result, Role, Run, RunState, Scope,
    Timestamp, Window,
    audit::{self, Target},
    channel::{self, Channel},
    db::{Tx, execute, query_all, query_one},
    entity::{
        company,
        delivery::{ActiveModel, Column, Entity},
    },
};

/// A delivery is given up after so many tries.
pub const MAX_ATTEMPTS: i64 = 8;
/// Whoever is silent for so long while sending is taken for dead.
const LEASE_MS: i64 = 90_000;
/// Rows that one look takes.
const AT_ONCE: u64 = 50;
/// Alerts that one digest names; the rest is counted.
const MOST_IN_DIGEST: usize = 200;

/// Tells the channels that take it of an alert.
pub(crate) async fn tell(tx: &Tx, scope: &Scope, alert: &Alert, event: &'static str) -> Result<()> {
    let channels = channel::all(scope, &tx.conn).await?;
    for channel in channels.iter().filter(|c| c.rules.take(alert)) {
        let name = match alert.company_id {
            None => None,
            Some(id) => scope
                .find::<company::Entity>()
                .filter(company::Column::Id.eq(id))
                .one(&tx.conn)
                .await?
                .map(|c| c.name),
        };
        let word = match event {
            "alert.closed" => "Closed: ",
            _ => "",
        };
        let body = json!({
            "alert": {
                "id": alert.id, "number": alert.number, "kind": alert.kind,
                "severity": alert.severity, "stage": alert.stage, "title": alert.title,
                "text": alert.text, "link": alert.link, "state": alert.state,
                "company_id": alert.company_id, "company_name": name,
                "opened_at": alert.opened_at, "closed_at": alert.closed_at,
            },
        });
        let state = match channel.rules.digest_hour {
            Some(_) => DeliveryState::Waiting,
            None => DeliveryState::Queued,
        };
        let subject = format!("{word}{}", alert.title);
        write(
            tx,
            scope,
            channel.id,
            alert.company_id,
            event,
            &subject,
            body,
            state,
        )
        .await?;
    }
    Ok(())
}

/// Tells the webhooks that want to know of something that happened to a company.
async fn tell_of(
    tx: &Tx,
    scope: &Scope,
    event: ChannelEvent,
    company: CompanyId,
    subject: &str,
    body: serde_json::Value,
) -> Result<()> {
    for channel in channel::all(scope, &tx.conn).await? {
        let rules = &channel.rules;
        if rules.events.contains(&event) && rules.tell_of(Some(company)) {
            let (id, event, state) = (channel.id, event.as_str(), DeliveryState::Queued);
            let (company, body) = (Some(company), body.clone());
            write(tx, scope, id, company, event, subject, body, state).await?;
        }
    }
    Ok(())
}

/// Tells of a run that ended like this; of one that goes on it tells nothing.
pub(crate) async fn tell_run(
    tx: &Tx,
    scope: &Scope,
    run: &Run,
    state: RunState,
    error: Option<&str>,
) -> Result<()> {
    if state.is_open() {
        return Ok(());
    }
    let body = json!({
        "run": {
            "id": run.id, "number": run.number, "kind": run.kind, "cause": run.cause, "state": state,
            "attempt": run.attempt, "company_id": run.company_id, "mapping_id": run.mapping_id,
            "error": error, "created_at": run.created_at, "finished_at": scope.now(),
            "link": format!("/jobs/{}", run.id),
        },
    });
    let subject = format!("Job {} ended: {state}", run.number);
    tell_of(
        tx,
        scope,
        ChannelEvent::RunFinished,
        run.company_id,
        &subject,
        body,
    )
    .await
}

/// Tells of a change of a company mapping: `created`, `deleted`, `remapped` or `interval`.
pub(crate) async fn tell_mapping(
    tx: &Tx,
    scope: &Scope,
    change: &'static str,
    id: MappingId,
    company: CompanyId,
    directory: DirectoryId,
) -> Result<()> {
    let body = json!({
        "mapping": {
            "id": id, "change": change, "company_id": company, "directory_id": directory,
            "changed_at": scope.now(), "by": scope.actor().name, "link": format!("/companies/{company}"),
        },
    });
    let subject = format!("Company mapping {change}");
    tell_of(
        tx,
        scope,
        ChannelEvent::MappingChanged,
        company,
        &subject,
        body,
    )
    .await
}

#[allow(clippy::too_many_arguments)] // a row's columns
async fn write(
    tx: &Tx,
    scope: &Scope,
    channel: ChannelId,
    company: Option<CompanyId>,
    event: &str,
    subject: &str,
    body: serde_json::Value,
    state: DeliveryState,
) -> Result<Delivery> {
    Ok(ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(DeliveryId::generate(scope.db().clock())),
        channel_id: Set(channel),
        company_id: Set(company),
        event: Set(event.to_owned()),
        subject: Set(subject.to_owned()),
        body: Set(body.to_string()),
        state: Set(state),
        attempts: Set(0),
        // At once, by whichever clock the database has.
        not_before: Set(Timestamp(0)),
        lease_until: Set(None),
        created_at: Set(scope.now()),
        sent_at: Set(None),
        error: Set(None),
    }
    .insert(&tx.conn)
    .await?)
}

/// A report of a company, by the channel and to the recipients of its schedule.
pub(crate) async fn write_report(
    tx: &Tx,
    scope: &Scope,
    schedule: &crate::ReportSchedule,
    subject: &str,
    body: serde_json::Value,
) -> Result<Delivery> {
    let (channel, company) = (schedule.channel_id, Some(schedule.company_id));
    let state = DeliveryState::Queued;
    write(tx, scope, channel, company, "report", subject, body, state).await
}

/// A message of the contact form.
pub(crate) async fn write_contact(
    tx: &Tx,
    scope: &Scope,
    channel: ChannelId,
    subject: &str,
    body: serde_json::Value,
) -> Result<Delivery> {
    let state = DeliveryState::Queued;
    write(tx, scope, channel, None, "contact", subject, body, state).await
}

/// Has a channel send a test. `None` when there is no such channel.
pub async fn test(scope: &Scope, id: ChannelId) -> Result<Option<Delivery>> {
    scope.require_everywhere(Role::Admin)?;
    let Some(channel) = channel::get(scope, id).await? else {
        return Ok(None);
    };
    let tx = scope.begin().await?;
    let text = format!(
        "{} asked for this test: notifications arrive here.",
        scope.actor().name
    );
    let body = json!({ "test": { "text": text } });
    let subject = "Test of a notification channel";
    let made = write(
        &tx,
        scope,
        id,
        None,
        "test",
        subject,
        body,
        DeliveryState::Queued,
    )
    .await?;
    let target = Target::new("channel", id, channel.name);
    audit::append(&tx, scope, "channel.test", target, json!({})).await?;
    tx.commit().await?;
    Ok(Some(made))
}

/// What a channel sent and is to send, newest first.
pub async fn list(scope: &Scope, channel: ChannelId, window: Window) -> Result<Listing<Delivery>> {
    scope.require_everywhere(Role::Auditor)?;
    let query = scope.find::<Entity>().filter(Column::ChannelId.eq(channel));
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::CreatedAt)
            .order_by_desc(Column::Id)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// Has a delivery sent that was given up. `None` when there is none.
///
/// # Errors
/// [`Error::Conflict`] when it was not given up, or its channel is gone.
pub async fn resend(scope: &Scope, channel: ChannelId, id: DeliveryId) -> Result<Option<()>> {
    scope.require_everywhere(Role::Admin)?;
    let Some(channel) = channel::get(scope, channel).await? else {
        return Ok(None);
    };
    let tx = scope.begin().await?;
    let found = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::ChannelId.eq(channel.id))
        .one(&tx.conn)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    if found.state != DeliveryState::Failed {
        return Err(Error::Conflict(
            "Only what was given up is sent again by hand.".into(),
        ));
    }
    execute(
        &tx.conn,
        "UPDATE deliveries SET state = 'queued', attempts = 0, not_before = 0, error = NULL
         WHERE partner_id = $1 AND id = $2 AND state = 'failed'",
        vec![scope.partner().into(), id.into()],
    )
    .await?;
    let target = Target::new("channel", channel.id, channel.name);
    audit::append(
        &tx,
        scope,
        "delivery.resend",
        target,
        json!({ "delivery_id": id }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// A delivery that a worker took, with the scope in which it is sent.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What is sent.
    pub delivery: Delivery,
    /// By which channel.
    pub channel: Channel,
    /// The partner's rows, acting as the outbox.
    pub scope: Scope,
    /// The name of the partner.
    pub partner_name: String,
}

fn outbox(db: &Db, partner: PartnerId) -> Scope {
    let actor = Actor {
        kind: "run",
        id: String::new(),
        name: "outbox".into(),
        address: String::new(),
    };
    Scope::new(db, partner, Role::Technician, actor)
}

/// Takes what is due, oldest first. Any number of processes may do so at the same time.
pub async fn take_due(db: &Db) -> Result<Vec<Taken>> {
    let now = db.now_sql();
    let due = query_all(
        &db.everybody(),
        &format!(
            "SELECT partner_id, id, attempts FROM deliveries
             WHERE (state = 'queued' AND not_before <= {now})
                OR (state = 'sending' AND lease_until < {now})
             ORDER BY created_at LIMIT {AT_ONCE}"
        ),
        vec![],
    )
    .await?;
    let mut taken = Vec::new();
    for row in &due {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let id: DeliveryId = row.try_get("", "id")?;
        let attempts: i64 = row.try_get("", "attempts")?;
        let claimed = execute(
            &db.writer_of(partner),
            &format!(
                "UPDATE deliveries SET state = 'sending', attempts = attempts + 1,
                    lease_until = {now} + $1
                 WHERE partner_id = $2 AND id = $3 AND attempts = $4
                    AND state IN ('queued', 'sending')"
            ),
            vec![LEASE_MS.into(), partner.into(), id.into(), attempts.into()],
        )
        .await?;
        if claimed == 0 {
            continue;
        }
        let scope = outbox(db, partner);
        let delivery = scope
            .find::<Entity>()
            .filter(Column::Id.eq(id))
            .one(&scope.conn())
            .await?;
        let Some(delivery) = delivery else {
            continue;
        };
        let Some(channel) = channel::get(&scope, delivery.channel_id).await? else {
            continue;
        };
        taken.push(Taken {
            partner_name: crate::partner::current(&scope).await?.name,
            delivery,
            channel,
            scope,
        });
    }
    Ok(taken)
}

/// Why a delivery did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelivered {
    /// It may arrive later.
    Later(String),
    /// It will never arrive like this.
    Never(String),
}

impl Taken {
    /// Notes how it went: a failure that may pass is tried again after half a minute, doubled each time.
    pub async fn settle(&self, outcome: &Result<(), Undelivered>) -> Result<()> {
        let scope = &self.scope;
        let db = scope.db();
        let (attempts, now) = (self.delivery.attempts, scope.now());
        let (state, error) = match outcome {
            Ok(()) => (DeliveryState::Sent, None),
            Err(Undelivered::Later(why)) if attempts < MAX_ATTEMPTS => {
                (DeliveryState::Queued, Some(why.clone()))
            }
            Err(Undelivered::Later(why) | Undelivered::Never(why)) => {
                (DeliveryState::Failed, Some(why.clone()))
            }
        };
        let wait = 30_000 * 2_i64.pow(u32::try_from(attempts.clamp(1, 10)).unwrap_or(1) - 1);
        let tx = db.begin_of(scope.partner()).await?;
        let settled = execute(
            &tx.conn,
            &format!(
                "UPDATE deliveries SET state = $1, error = $2, sent_at = $3, lease_until = NULL,
                    not_before = {} + $4
                 WHERE partner_id = $5 AND id = $6 AND attempts = $7 AND state = 'sending'",
                db.now_sql()
            ),
            vec![
                state.as_str().into(),
                error.clone().into(),
                outcome.is_ok().then_some(now).into(),
                wait.into(),
                scope.partner().into(),
                self.delivery.id.into(),
                attempts.into(),
            ],
        )
        .await?;
        if settled > 0 {
            execute(
                &tx.conn,
                "UPDATE channels SET last_sent_at = COALESCE($1, last_sent_at),
                    last_error_at = $2, last_error = $3
                 WHERE partner_id = $4 AND id = $5",
                vec![
                    outcome.is_ok().then_some(now).into(),
                    error.is_some().then_some(now).into(),
                    error.into(),
                    scope.partner().into(),
                    self.channel.id.into(),
                ],
            )
            .await?;
        }
        tx.commit().await
    }
}

/// Gathers what waits into the digests whose hour has come: one a day for each channel, however many
/// processes ask. Answers how many.
pub async fn gather_digests(db: &Db) -> Result<usize> {
    let now = db.clock().now();
    let hour = now.0.div_euclid(3_600_000).rem_euclid(24);
    let due = query_all(
        &db.everybody(),
        "SELECT partner_id, id FROM channels WHERE removed_at IS NULL AND digest_hour <= $1
            AND (digested_day IS NULL OR digested_day < $2)",
        vec![hour.into(), now.day().into()],
    )
    .await?;
    let mut made = 0;
    for row in &due {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        made += usize::from(gather(&outbox(db, partner), row.try_get("", "id")?).await?);
    }
    Ok(made)
}

async fn gather(scope: &Scope, id: ChannelId) -> Result<bool> {
    let day = scope.now().day();
    let tx = scope.begin().await?;
    let taken = query_one(
        &tx.conn,
        "UPDATE channels SET digested_day = $1 WHERE partner_id = $2 AND id = $3
            AND removed_at IS NULL AND (digested_day IS NULL OR digested_day < $1) RETURNING id",
        vec![day.clone().into(), scope.partner().into(), id.into()],
    )
    .await?;
    if taken.is_none() {
        return Ok(false);
    }
    let waiting = scope
        .find::<Entity>()
        .filter(Column::ChannelId.eq(id))
        .filter(Column::State.eq(DeliveryState::Waiting))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(&tx.conn)
        .await?;
    if !waiting.is_empty() {
        let entries: Vec<serde_json::Value> = waiting
            .iter()
            .take(MOST_IN_DIGEST)
            .map(|one| {
                let body: serde_json::Value = serde_json::from_str(&one.body).unwrap_or_default();
                json!({ "event": one.event, "subject": one.subject, "at": one.created_at, "body": body })
            })
            .collect();
        let count = waiting.len();
        let subject = match count {
            1 => format!("{day}: 1 notification"),
            n => format!("{day}: {n} notifications"),
        };
        let body = json!({ "digest": { "day": day, "count": count, "entries": entries } });
        write(
            &tx,
            scope,
            id,
            None,
            "digest",
            &subject,
            body,
            DeliveryState::Queued,
        )
        .await?;
        execute(
            &tx.conn,
            "UPDATE deliveries SET state = 'digested'
             WHERE partner_id = $1 AND channel_id = $2 AND state = 'waiting'",
            vec![scope.partner().into(), id.into()],
        )
        .await?;
    }
    tx.commit().await?;
    Ok(!waiting.is_empty())
}
