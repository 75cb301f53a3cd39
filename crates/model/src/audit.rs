//! The audit log: every action writes one row in the transaction of its change, chained by hash.
//! `docs/audit.md` has the form of rows, chain and checkpoints, so that others can check them.

use sea_orm::{ActiveModelTrait, ActiveValue::Set};
use serde_json::{Value as Json, json};

use crate::{
    AuditRow, Error, Result, Scope,
    db::{Tx, query_one},
    entity::audit_row,
};

pub mod checkpoint;
mod list;
mod verify;

pub use list::{Filter, actions, list, older};
pub use verify::{Broken, verify};

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

/// A row's columns but its own hash, as a JSON array in one fixed form: what is hashed.
pub fn canonical(row: &AuditRow) -> String {
    json!([
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
    ])
    .to_string()
}

/// SHA-256 over the canonical form, which keeps the borders of columns unambiguous.
fn hash(row: &AuditRow) -> String {
    keys::fingerprint(&canonical(row))
}
