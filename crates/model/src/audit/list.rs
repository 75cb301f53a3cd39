//! Reading the log.

use sea_orm::{
    ColumnTrait, Condition, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use crate::{
    AuditRow, Listing, Result, Role, Scope, Timestamp, Window,
    db::query_all,
    entity::audit_row::{Column, Entity},
};

/// Which rows to read; empty fields do not count.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// An action, such as `credential.create`, or a group of them, such as `credential`.
    pub action: String,
    /// Part of the name of who acted.
    pub actor: String,
    /// Part of the name or the id of what it was done to.
    pub target: String,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
}

fn filtered(scope: &Scope, filter: &Filter) -> Select<Entity> {
    let mut query = scope.find::<Entity>();
    if !filter.action.is_empty() {
        query = match filter.action.contains('.') {
            true => query.filter(Column::Action.eq(&filter.action)),
            false => query.filter(Column::Action.starts_with(format!("{}.", filter.action))),
        };
    }
    if !filter.actor.is_empty() {
        query = query.filter(Column::ActorName.contains(&filter.actor));
    }
    if !filter.target.is_empty() {
        let named = Column::TargetName.contains(&filter.target);
        let numbered = Column::TargetId.eq(&filter.target);
        query = query.filter(Condition::any().add(named).add(numbered));
    }
    if let Some(from) = filter.from {
        query = query.filter(Column::At.gte(from));
    }
    if let Some(to) = filter.to {
        query = query.filter(Column::At.lt(to));
    }
    query
}

/// Rows of the partner, newest first.
///
/// # Errors
/// [`crate::Error::Forbidden`] below auditor, and for a membership that is limited to companies.
pub async fn list(scope: &Scope, filter: &Filter, window: Window) -> Result<Listing<AuditRow>> {
    scope.require_everywhere(Role::Auditor)?;
    let query = filtered(scope, filter);
    Ok(Listing {
        total: query.clone().count(&scope.conn()).await?,
        rows: query
            .order_by_desc(Column::Seq)
            .offset(window.offset)
            .limit(window.limit)
            .all(&scope.conn())
            .await?,
    })
}

/// Rows of the partner, newest first, so many, older than row `before` where one is given.
///
/// # Errors
/// As [`list`].
pub async fn older(
    scope: &Scope,
    filter: &Filter,
    before: Option<i64>,
    limit: u64,
) -> Result<Vec<AuditRow>> {
    scope.require_everywhere(Role::Auditor)?;
    let mut query = filtered(scope, filter);
    if let Some(before) = before {
        query = query.filter(Column::Seq.lt(before));
    }
    Ok(query
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(&scope.conn())
        .await?)
}

/// Every action that the partner's log has, by name, for the filter's choices.
pub async fn actions(scope: &Scope) -> Result<Vec<String>> {
    scope.require_everywhere(Role::Auditor)?;
    let rows = query_all(
        &scope.conn(),
        "SELECT DISTINCT action FROM audit_rows WHERE partner_id = $1 ORDER BY action",
        vec![scope.partner().into()],
    )
    .await?;
    rows.into_iter()
        .map(|row| Ok(row.try_get("", "action")?))
        .collect()
}
