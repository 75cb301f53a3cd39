//! Alerts: each kind is a small file with its condition and its text ([`kinds`]). An alert opens once
//! while its cause lasts, and closes by itself when that is gone, whatever people did about it.

use std::collections::HashMap;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::json;

use crate::{
    Alert, AlertId, AlertKind, AlertState, CompanyId, Error, Listing, Result, Role, Scope,
    Severity, Timestamp, Window,
    audit::{self, Target},
    db::{Tx, execute, query_one},
    delivery,
    entity::alert::{ActiveModel, Column, Entity},
};

mod evaluate;
pub mod kinds;

pub use evaluate::{Evaluation, evaluate, partners};
pub use kinds::Needed;

/// A cause that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What it is about: with the kind it names the alert.
    pub subject: String,
    /// The company, where it is one's.
    pub company: Option<CompanyId>,
    /// How much it matters.
    pub severity: Severity,
    /// How far it has come, such as the days that are left: a new stage is told again.
    pub stage: String,
    /// What happened, in a few words.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
    /// A page of ours to look at.
    pub link: String,
}

/// Opens what is new, changes what differs, and closes what is gone, of the kinds that were looked at.
/// Answers how many alerts it wrote.
pub(crate) async fn reconcile(scope: &Scope, found: Vec<(AlertKind, Vec<Cause>)>) -> Result<usize> {
    // Most of the time nothing differs, and nobody has to wait for the partner's turn.
    let kinds: Vec<AlertKind> = found.iter().map(|(kind, _)| *kind).collect();
    if plan(
        &open(scope, &kinds, &scope.conn()).await?,
        &found,
        scope.now(),
    )
    .is_empty()
    {
        return Ok(0);
    }
    let tx = scope.begin().await?;
    let known = open(scope, &kinds, &tx.conn).await?;
    let steps = plan(&known, &found, scope.now());
    let count = steps.len();
    for step in steps {
        match step {
            Step::Open(kind, cause) => open_in(&tx, scope, kind, cause).await?,
            Step::Change(alert, cause) => change_in(&tx, scope, alert, cause).await?,
            Step::Wake(alert) => wake_in(&tx, scope, alert).await?,
            Step::Close(alert) => close_in(&tx, scope, alert).await?,
        }
    }
    tx.commit().await?;
    Ok(count)
}

enum Step<'a> {
    Open(AlertKind, &'a Cause),
    Change(&'a Alert, &'a Cause),
    Wake(&'a Alert),
    Close(&'a Alert),
}

fn plan<'a>(
    known: &'a [Alert],
    found: &'a [(AlertKind, Vec<Cause>)],
    now: Timestamp,
) -> Vec<Step<'a>> {
    let mut known: HashMap<(AlertKind, &str), &Alert> = known
        .iter()
        .map(|alert| ((alert.kind, alert.subject.as_str()), alert))
        .collect();
    let mut steps = Vec::new();
    for (kind, causes) in found {
        for cause in causes {
            match known.remove(&(*kind, cause.subject.as_str())) {
                None => steps.push(Step::Open(*kind, cause)),
                Some(alert) if differs(alert, cause) => steps.push(Step::Change(alert, cause)),
                Some(alert) if is_awake(alert, now) => steps.push(Step::Wake(alert)),
                Some(_) => {}
            }
        }
    }
    steps.extend(known.into_values().map(Step::Close));
    steps
}

fn differs(alert: &Alert, cause: &Cause) -> bool {
    alert.severity != cause.severity
        || alert.stage != cause.stage
        || alert.title != cause.title
        || alert.text != cause.text
        || alert.link != cause.link
        || alert.company_id != cause.company
}

fn is_awake(alert: &Alert, now: Timestamp) -> bool {
    alert.state == AlertState::Snoozed && alert.snoozed_until.is_none_or(|until| until <= now)
}

async fn open(
    scope: &Scope,
    kinds: &[AlertKind],
    conn: &impl sea_orm::ConnectionTrait,
) -> Result<Vec<Alert>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Kind.is_in(kinds.iter().copied()))
        .filter(Column::ClosedAt.is_null())
        .all(conn)
        .await?)
}

async fn open_in(tx: &Tx, scope: &Scope, kind: AlertKind, cause: &Cause) -> Result<()> {
    let number: i64 = query_one(
        &tx.conn,
        "UPDATE partners SET alert_number = alert_number + 1 WHERE id = $1 RETURNING alert_number",
        vec![scope.partner().into()],
    )
    .await?
    .ok_or_else(|| Error::Stored("the partner of an alert does not exist".into()))?
    .try_get("", "alert_number")?;
    let now = scope.now();
    let alert = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(AlertId::generate(scope.db().clock())),
        number: Set(number),
        kind: Set(kind),
        subject: Set(cause.subject.clone()),
        company_id: Set(cause.company),
        severity: Set(cause.severity),
        stage: Set(cause.stage.clone()),
        title: Set(cause.title.clone()),
        text: Set(cause.text.clone()),
        link: Set(cause.link.clone()),
        state: Set(AlertState::Open),
        opened_at: Set(now),
        changed_at: Set(now),
        snoozed_until: Set(None),
        handled_by: Set(None),
        handled_at: Set(None),
        closed_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    delivery::tell(tx, scope, &alert, "alert.opened").await
}

async fn change_in(tx: &Tx, scope: &Scope, alert: &Alert, cause: &Cause) -> Result<()> {
    let is_worse = cause.severity > alert.severity;
    let is_next = alert.stage != cause.stage;
    let mut active: ActiveModel = alert.clone().into();
    active.severity = Set(cause.severity);
    active.stage = Set(cause.stage.clone());
    active.title = Set(cause.title.clone());
    active.text = Set(cause.text.clone());
    active.link = Set(cause.link.clone());
    active.company_id = Set(cause.company);
    if is_next {
        active.changed_at = Set(scope.now());
    }
    // What somebody put aside when it mattered less is there again.
    if is_worse {
        active.state = Set(AlertState::Open);
        active.snoozed_until = Set(None);
    }
    let changed = active.update(&tx.conn).await?;
    match is_next && matches!(changed.state, AlertState::Open | AlertState::Acknowledged) {
        true => delivery::tell(tx, scope, &changed, "alert.changed").await,
        false => Ok(()),
    }
}

async fn wake_in(tx: &Tx, scope: &Scope, alert: &Alert) -> Result<()> {
    let mut active: ActiveModel = alert.clone().into();
    active.state = Set(AlertState::Open);
    active.snoozed_until = Set(None);
    active.changed_at = Set(scope.now());
    let woken = active.update(&tx.conn).await?;
    delivery::tell(tx, scope, &woken, "alert.changed").await
}

async fn close_in(tx: &Tx, scope: &Scope, alert: &Alert) -> Result<()> {
    let was_told = !matches!(alert.state, AlertState::Snoozed | AlertState::Resolved);
    let mut active: ActiveModel = alert.clone().into();
    active.state = Set(AlertState::Closed);
    active.closed_at = Set(Some(scope.now()));
    active.changed_at = Set(scope.now());
    let closed = active.update(&tx.conn).await?;
    match was_told {
        true => delivery::tell(tx, scope, &closed, "alert.closed").await,
        false => Ok(()),
    }
}

/// Filters of the list of alerts.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In any of these states; empty for all.
    pub states: Vec<AlertState>,
    /// Of one kind.
    pub kind: Option<AlertKind>,
    /// At least so severe.
    pub severity: Option<Severity>,
    /// Of one company.
    pub company: Option<CompanyId>,
}

/// Newest first.
pub async fn list(scope: &Scope, filter: &Filter, window: Window) -> Result<Listing<Alert>> {
    let mut query = scope.find::<Entity>();
    if !filter.states.is_empty() {
        query = query.filter(Column::State.is_in(filter.states.iter().copied()));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(Column::Kind.eq(kind));
    }
    if let Some(least) = filter.severity {
        let any = Severity::ALL.iter().copied().filter(|s| *s >= least);
        query = query.filter(Column::Severity.is_in(any));
    }
    if let Some(company) = filter.company {
        query = query.filter(Column::CompanyId.eq(company));
    }
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::OpenedAt)
            .order_by_desc(Column::Number)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// One alert.
pub async fn get(scope: &Scope, id: AlertId) -> Result<Option<Alert>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&scope.conn())
        .await?)
}

/// How many alerts of each severity nobody has dealt with yet, of what the scope sees.
pub async fn counts(scope: &Scope) -> Result<HashMap<Severity, i64>> {
    let rows: Vec<(Severity, i64)> = scope
        .find::<Entity>()
        .filter(Condition::all().add(Column::ClosedAt.is_null()))
        .filter(Column::State.eq(AlertState::Open))
        .select_only()
        .column(Column::Severity)
        .column_as(Column::Id.count(), "alerts")
        .group_by(Column::Severity)
        .into_tuple()
        .all(&scope.conn())
        .await?;
    Ok(rows.into_iter().collect())
}

/// What somebody does about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Sees to it.
    Acknowledge,
    /// Does not want to see it before a moment.
    Snooze(Timestamp),
    /// Has dealt with it; it stays quiet while its cause lasts, and closes when that is gone.
    Resolve,
    /// Puts it back.
    Reopen,
}

impl Handling {
    fn state(self) -> AlertState {
        match self {
            Self::Acknowledge => AlertState::Acknowledged,
            Self::Snooze(_) => AlertState::Snoozed,
            Self::Resolve => AlertState::Resolved,
            Self::Reopen => AlertState::Open,
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Acknowledge => "alert.acknowledge",
            Self::Snooze(_) => "alert.snooze",
            Self::Resolve => "alert.resolve",
            Self::Reopen => "alert.reopen",
        }
    }
}

/// The longest that an alert is put off, days.
pub const LONGEST_SNOOZE_DAYS: i64 = 90;

/// Does something about an alert; answers it as it is now. `None` when there is none in scope.
///
/// # Errors
/// [`Error::Conflict`] when its cause is gone already.
pub async fn handle(scope: &Scope, id: AlertId, handling: Handling) -> Result<Option<Alert>> {
    scope.require(Role::Technician)?;
    let until = match handling {
        Handling::Snooze(until) => {
            let longest = scope.now().plus_minutes(LONGEST_SNOOZE_DAYS * 24 * 60 + 1);
            if until <= scope.now() || until > longest {
                return Err(Error::field(
                    "until",
                    format!("Choose a moment within the next {LONGEST_SNOOZE_DAYS} days."),
                ));
            }
            Some(until)
        }
        _ => None,
    };
    let tx = scope.begin().await?;
    let Some(alert) = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .one(&tx.conn)
        .await?
    else {
        return Ok(None);
    };
    if alert.closed_at.is_some() {
        return Err(Error::Conflict(format!(
            "Alert {} is closed: its cause is gone.",
            alert.number
        )));
    }
    execute(
        &tx.conn,
        "UPDATE alerts SET state = $1, snoozed_until = $2, handled_by = $3, handled_at = $4
         WHERE partner_id = $5 AND id = $6",
        vec![
            handling.state().as_str().into(),
            until.into(),
            scope.actor().name.clone().into(),
            scope.now().into(),
            scope.partner().into(),
            id.into(),
        ],
    )
    .await?;
    audit::append(
        &tx,
        scope,
        handling.action(),
        Target::new("alert", id, alert.title.as_str()),
        json!({ "kind": alert.kind, "until": until }),
    )
    .await?;
    tx.commit().await?;
    get(scope, id).await
}
