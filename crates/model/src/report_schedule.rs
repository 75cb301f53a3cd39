//! When a company's monthly report is sent, by which channel of mail, and to whom.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, QueryFilter, QueryOrder};
use serde_json::json;

use crate::{
    Actor, ChannelId, ChannelKind, CompanyId, Db, Delivery, Error, FieldError, PartnerId,
    ReportSchedule, ReportScheduleId, Result, Role, Scope,
    audit::{self, Target},
    channel,
    db::{execute, query_all},
    delivery,
    entity::{
        company,
        report_schedule::{ActiveModel, Column, Entity},
    },
    member,
};

impl ReportSchedule {
    /// To whom.
    pub fn recipient_list(&self) -> Vec<String> {
        serde_json::from_str(&self.recipients).unwrap_or_default()
    }
}

/// What somebody types.
#[derive(Debug, Clone)]
pub struct Draft {
    /// By which channel of mail.
    pub channel: Option<ChannelId>,
    /// To whom.
    pub recipients: Vec<String>,
    /// On which day of the month, 1 to 28; the report is of the month before.
    pub day: i64,
}

/// Has a company's report sent from now on. `None` when there is no such company in scope.
pub async fn create(
    scope: &Scope,
    company: CompanyId,
    draft: &Draft,
) -> Result<Option<ReportSchedule>> {
    scope.require(Role::Technician)?;
    let mut errors = Vec::new();
    let mut wrong = |field, message: String| errors.push(FieldError { field, message });
    if !(1..=28).contains(&draft.day) {
        wrong(
            "day",
            "Choose a day from 1 to 28, which every month has.".into(),
        );
    }
    if draft.recipients.is_empty() || draft.recipients.len() > 20 {
        wrong(
            "recipients",
            "Enter one to twenty addresses, with commas between them.".into(),
        );
    } else if let Some(bad) = draft.recipients.iter().find(|to| !member::is_mailbox(to)) {
        wrong("recipients", format!("{bad} is no address of a mailbox."));
    }
    // A member who is limited to companies chooses among the channels as well: they are the partner's.
    let channel = match draft.channel {
        None => None,
        Some(id) => channel::all(scope, &scope.conn())
            .await?
            .into_iter()
            .find(|c| c.id == id),
    };
    let channel = channel.filter(|c| c.settings.kind() != ChannelKind::Webhook);
    if channel.is_none() {
        wrong("channel", "Choose a channel that sends mail.".into());
    }
    let (Some(channel), true) = (channel, errors.is_empty()) else {
        return Err(Error::Invalid(errors));
    };
    let tx = scope.begin().await?;
    let found = scope
        .find::<company::Entity>()
        .filter(company::Column::Id.eq(company))
        .one(&tx.conn)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let made = ActiveModel {
        partner_id: Set(scope.partner()),
        id: Set(ReportScheduleId::generate(scope.db().clock())),
        company_id: Set(company),
        channel_id: Set(channel.id),
        recipients: Set(json!(draft.recipients).to_string()),
        day: Set(draft.day),
        // The first is that of the month in which it was asked for.
        last_month: Set(month_before(&month_of(scope.now()))),
        created_at: Set(scope.now()),
        removed_at: Set(None),
    }
    .insert(&tx.conn)
    .await?;
    audit::append(
        &tx,
        scope,
        "report_schedule.create",
        Target::new("company", company, found.name),
        json!({ "recipients": draft.recipients, "day": draft.day, "channel": channel.name }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(made))
}

/// Of a company.
pub async fn list(scope: &Scope, company: CompanyId) -> Result<Vec<ReportSchedule>> {
    Ok(scope
        .find::<Entity>()
        .filter(Column::CompanyId.eq(company))
        .filter(Column::RemovedAt.is_null())
        .order_by_asc(Column::CreatedAt)
        .all(&scope.conn())
        .await?)
}

/// Ends one. `None` when there is none in scope.
pub async fn remove(scope: &Scope, company: CompanyId, id: ReportScheduleId) -> Result<Option<()>> {
    scope.require(Role::Technician)?;
    let tx = scope.begin().await?;
    let found = scope
        .find::<Entity>()
        .filter(Column::Id.eq(id))
        .filter(Column::CompanyId.eq(company))
        .filter(Column::RemovedAt.is_null())
        .one(&tx.conn)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    execute(
        &tx.conn,
        "UPDATE report_schedules SET removed_at = $1 WHERE partner_id = $2 AND id = $3",
        vec![scope.now().into(), scope.partner().into(), id.into()],
    )
    .await?;
    let target = Target::new("company", company, "");
    let detail = json!({ "recipients": found.recipient_list() });
    audit::append(&tx, scope, "report_schedule.remove", target, detail).await?;
    tx.commit().await?;
    Ok(Some(()))
}

/// `yyyy-mm` of a moment.
pub fn month_of(at: crate::Timestamp) -> String {
    at.to_utc().format("%Y-%m").to_string()
}

/// The month before one.
pub fn month_before(month: &str) -> String {
    let first = chrono::NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d");
    let before = first
        .ok()
        .and_then(|day| day.checked_sub_months(chrono::Months::new(1)));
    before
        .map(|day| day.format("%Y-%m").to_string())
        .unwrap_or_default()
}

/// A report to make and send.
#[derive(Debug, Clone)]
pub struct Due {
    /// The schedule.
    pub schedule: ReportSchedule,
    /// The month, `yyyy-mm`.
    pub month: String,
    /// The partner's rows, acting as the schedule.
    pub scope: Scope,
}

/// Reports whose day has come. Any number of processes may ask: [`send`] takes each once.
pub async fn due(db: &Db) -> Result<Vec<Due>> {
    let now = db.clock().now();
    let day: i64 = now.to_utc().format("%d").to_string().parse().unwrap_or(1);
    let month = month_before(&month_of(now));
    let rows = query_all(
        &db.everybody(),
        "SELECT s.partner_id, s.id FROM report_schedules s
         JOIN companies c ON c.partner_id = s.partner_id AND c.id = s.company_id
         WHERE s.removed_at IS NULL AND c.archived_at IS NULL AND s.day <= $1 AND s.last_month < $2
         ORDER BY s.partner_id, s.id LIMIT 50",
        vec![day.into(), month.clone().into()],
    )
    .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let partner: PartnerId = row.try_get("", "partner_id")?;
        let actor = Actor {
            kind: "run",
            id: String::new(),
            name: "schedule".into(),
            address: String::new(),
        };
        let scope = Scope::new(db, partner, Role::Technician, actor);
        let id: ReportScheduleId = row.try_get("", "id")?;
        let found = scope
            .find::<Entity>()
            .filter(Column::Id.eq(id))
            .one(&scope.conn())
            .await?;
        if let Some(schedule) = found {
            all.push(Due {
                schedule,
                month: month.clone(),
                scope,
            });
        }
    }
    Ok(all)
}

/// Puts a report into the outbox, once for its month. `None` when somebody else did.
pub async fn send(
    due: &Due,
    subject: &str,
    text: &str,
    attachment: (&str, &str),
) -> Result<Option<Delivery>> {
    let (scope, schedule) = (&due.scope, &due.schedule);
    let tx = scope.begin().await?;
    let taken = execute(
        &tx.conn,
        "UPDATE report_schedules SET last_month = $1
         WHERE partner_id = $2 AND id = $3 AND last_month < $1 AND removed_at IS NULL",
        vec![
            due.month.clone().into(),
            scope.partner().into(),
            schedule.id.into(),
        ],
    )
    .await?;
    if taken == 0 {
        return Ok(None);
    }
    let (name, content) = attachment;
    let body = json!({
        "text": text, "to": schedule.recipient_list(),
        "attachments": [{ "name": name, "type": "application/pdf", "content": content }],
    });
    let made = delivery::write_report(&tx, scope, schedule, subject, body).await?;
    tx.commit().await?;
    Ok(Some(made))
}

/// Ends what sends by a channel that is removed.
pub(crate) async fn end_for_channel(
    tx: &crate::db::Tx,
    scope: &Scope,
    channel: ChannelId,
) -> Result<()> {
    execute(
        &tx.conn,
        "UPDATE report_schedules SET removed_at = $1
         WHERE partner_id = $2 AND channel_id = $3 AND removed_at IS NULL",
        vec![scope.now().into(), scope.partner().into(), channel.into()],
    )
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_before_january_is_december() {
        assert_eq!(month_before("2026-01"), "2025-12");
        assert_eq!(month_before("2026-03"), "2026-02");
        assert_eq!(month_before("nonsense"), "");
    }
}
