//! The audit log: every action writes one row in the transaction of its change, chained by hash.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::{Value as Json, json};

use crate::{
    AuditRow, Error, Listing, PartnerId, Result, Scope, Window,
    db::{Db, Tx, query_one},
    entity::audit_row,
    scope::Owned,
};

/// What an action was done to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Noun: `credential`, `company`, `mapping`, `run`, …
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its name at the time.
    pub name: String,
}

impl Target {
    /// A target.
    pub fn new(kind: &'static str, id: impl ToString, name: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.to_string(),
            name: name.into(),
        }
    }
}

/// Appends one row to the partner's chain. `detail` holds before and after, never a secret.
///
/// The partner's row is the head of the chain: updating it makes writers queue, so sequence numbers
/// have no gaps and no forks.
pub(crate) async fn append(
    tx: &Tx,
    scope: &Scope,
    action: &str,
    target: Target,
    detail: Json,
) -> Result<()> {
    let head = query_one(
        &tx.conn,
        "UPDATE partners SET audit_seq = audit_seq + 1 WHERE id = $1 RETURNING audit_seq, audit_head",
        vec![scope.partner().into()],
    )
    .await?
    .ok_or_else(|| Error::Stored("the partner of an audit row does not exist".into()))?;
    let actor = scope.actor();
    let mut row = AuditRow {
        partner_id: scope.partner(),
        seq: head.try_get("", "audit_seq")?,
        at: scope.now(),
        actor_kind: actor.kind.to_owned(),
        actor_id: actor.id.clone(),
        actor_name: actor.name.clone(),
        address: actor.address.clone(),
        action: action.to_owned(),
        target_kind: target.kind.to_owned(),
        target_id: target.id,
        target_name: target.name,
        detail: detail.to_string(),
        previous_hash: head.try_get("", "audit_head")?,
        hash: String::new(),
    };
    row.hash = hash(&row);
    crate::db::execute(
        &tx.conn,
        "UPDATE partners SET audit_head = $1 WHERE id = $2",
        vec![row.hash.clone().into(), scope.partner().into()],
    )
    .await?;
    insert(tx, row).await
}

async fn insert(tx: &Tx, row: AuditRow) -> Result<()> {
    audit_row::ActiveModel {
        partner_id: Set(row.partner_id),
        seq: Set(row.seq),
        at: Set(row.at),
        actor_kind: Set(row.actor_kind),
        actor_id: Set(row.actor_id),
        actor_name: Set(row.actor_name),
        address: Set(row.address),
        action: Set(row.action),
        target_kind: Set(row.target_kind),
        target_id: Set(row.target_id),
        target_name: Set(row.target_name),
        detail: Set(row.detail),
        previous_hash: Set(row.previous_hash),
        hash: Set(row.hash),
    }
    .insert(&tx.conn)
    .await?;
    Ok(())
}

/// SHA-256 over the row's columns as a JSON array, which keeps their borders unambiguous.
fn hash(row: &AuditRow) -> String {
    let columns = json!([
        "tenantry audit 1",
        row.partner_id,
        row.seq,
        row.at.0,
        row.actor_kind,
        row.actor_id,
        row.actor_name,
        row.address,
        row.action,
        row.target_kind,
        row.target_id,
        row.target_name,
        row.detail,
        row.previous_hash,
    ]);
    keys::fingerprint(&columns.to_string())
}

/// Newest rows first.
pub async fn list(scope: &Scope, window: Window) -> Result<Listing<AuditRow>> {
    use sea_orm::PaginatorTrait;
    let query = scope.find::<audit_row::Entity>();
    Ok(Listing {
        total: query.clone().count(scope.db().conn()).await?,
        rows: query
            .order_by_desc(audit_row::Column::Seq)
            .offset(window.offset)
            .limit(window.limit)
            .all(scope.db().conn())
            .await?,
    })
}

/// Walks a partner's chain. Answers the number of rows, or the sequence number where the chain
/// first breaks and how.
pub async fn verify(db: &Db, partner: PartnerId) -> Result<Result<i64, (i64, &'static str)>> {
    use sea_orm::ColumnTrait;
    // The end is read first: rows that come while the chain is walked are no fault of it.
    let head = query_one(
        db.conn(),
        "SELECT audit_seq, audit_head FROM partners WHERE id = $1",
        vec![partner.into()],
    )
    .await?
    .ok_or_else(|| Error::field("partner", "there is no such partner"))?;
    let length: i64 = head.try_get("", "audit_seq")?;
    let head: String = head.try_get("", "audit_head")?;
    let mut previous = String::new();
    let mut seq = 0;
    while seq < length {
        let rows = audit_row::Entity::find()
            .filter(audit_row::Entity::PARTNER.eq(partner))
            .filter(audit_row::Column::Seq.gt(seq))
            .order_by_asc(audit_row::Column::Seq)
            .filter(audit_row::Column::Seq.lte(length))
            .limit(1000)
            .all(db.conn())
            .await?;
        if rows.is_empty() {
            return Ok(Err((seq + 1, "rows are missing at the end")));
        }
        for row in rows {
            seq += 1;
            if row.seq != seq {
                return Ok(Err((seq, "a row is missing")));
            }
            if row.previous_hash != previous {
                return Ok(Err((seq, "it does not follow the row before it")));
            }
            if hash(&row) != row.hash {
                return Ok(Err((seq, "its content was changed")));
            }
            previous = row.hash;
        }
    }
    // Rows first, then their recorded number, which only grows.
    let last = query_one(
        db.conn(),
        "SELECT COALESCE(MAX(seq), 0) AS last FROM audit_rows WHERE partner_id = $1",
        vec![partner.into()],
    )
    .await?
    .map_or(Ok(0), |r| r.try_get::<i64>("", "last"))?;
    let recorded = query_one(
        db.conn(),
        "SELECT audit_seq FROM partners WHERE id = $1",
        vec![partner.into()],
    )
    .await?
    .map_or(Ok(0), |r| r.try_get::<i64>("", "audit_seq"))?;
    if last > recorded {
        return Ok(Err((recorded + 1, "a row beyond the recorded end")));
    }
    if head != previous {
        return Ok(Err((seq, "the end is not the one that was recorded")));
    }
    Ok(Ok(seq))
}
