//! What is known of each collection of a mapping: when it was read, where its changes go on, and
//! whether a fall of it is held back.

use std::collections::HashMap;

use serde_json::json;

use crate::{
    CompanyId, MappingId, Result, Role, Scope, Timestamp,
    audit::{self, Target},
    db::{execute, query_all},
};

/// A fall is held back when it is of more than this share of a collection…
pub(super) const FALL_PERCENT: i64 = 20;
/// …and of at least so many objects: in a small collection one leaver is a large share.
pub(super) const FALL_LEAST: i64 = 5;

/// What is known of a collection.
#[derive(Debug, Clone, Default)]
pub struct Collection {
    /// Where its changes go on: Graph's delta link, or a moment.
    pub cursor: Option<String>,
    /// When that was given.
    pub cursor_at: Option<Timestamp>,
    /// When it was read last.
    pub read_at: Option<Timestamp>,
    /// When it was read as a whole.
    pub full_at: Option<Timestamp>,
    /// The fall that is held back.
    pub hold: Option<Hold>,
}

/// A fall that is held back until a person confirms it.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The mapping.
    pub mapping: MappingId,
    /// The collection.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Objects that Microsoft did not name any more.
    pub missing: i64,
    /// Objects that were there.
    pub known: i64,
    /// When it was confirmed: the next run removes them.
    pub confirmed_at: Option<Timestamp>,
}

fn from_row(row: &sea_orm::QueryResult) -> Result<(MappingId, String, Collection)> {
    let mapping: MappingId = row.try_get("", "mapping_id")?;
    let name: String = row.try_get("", "name")?;
    let hold = match row.try_get::<Option<Timestamp>>("", "held_at")? {
        None => None,
        Some(since) => Some(Hold {
            mapping,
            name: name.clone(),
            since,
            missing: row.try_get("", "held_missing")?,
            known: row.try_get("", "held_known")?,
            confirmed_at: row.try_get("", "confirmed_at")?,
        }),
    };
    let collection = Collection {
        cursor: row.try_get("", "cursor")?,
        cursor_at: row.try_get("", "cursor_at")?,
        read_at: row.try_get("", "read_at")?,
        full_at: row.try_get("", "full_at")?,
        hold,
    };
    Ok((mapping, name, collection))
}

/// The collections of a mapping that was read through the scope.
pub async fn collections(scope: &Scope, mapping: MappingId) -> Result<HashMap<String, Collection>> {
    query_all(
        &scope.conn(),
        "SELECT * FROM collections WHERE partner_id = $1 AND mapping_id = $2",
        vec![scope.partner().into(), mapping.into()],
    )
    .await?
    .iter()
    .map(|row| from_row(row).map(|(_, name, collection)| (name, collection)))
    .collect()
}

/// Falls that are held back in a company.
pub async fn holds(scope: &Scope, company: CompanyId) -> Result<Vec<Hold>> {
    if !scope.sees(company) {
        return Ok(vec![]);
    }
    let rows = query_all(
        &scope.conn(),
        "SELECT c.* FROM collections c
         JOIN mappings m ON m.partner_id = c.partner_id AND m.id = c.mapping_id
         WHERE c.partner_id = $1 AND m.company_id = $2 AND m.deleted_at IS NULL
            AND c.held_at IS NOT NULL
         ORDER BY c.name",
        vec![scope.partner().into(), company.into()],
    )
    .await?;
    let mut holds = Vec::new();
    for row in &rows {
        holds.extend(from_row(row)?.2.hold);
    }
    Ok(holds)
}

/// Confirms that a fall is real: the next run of that collection removes what is missing. The
/// mapping was read through the scope. `None` when nothing is held back.
///
/// # Errors
/// [`Error::Forbidden`] below technician.
pub async fn confirm(scope: &Scope, mapping: MappingId, name: &str) -> Result<Option<()>> {
    scope.require(Role::Technician)?;
    let tx = scope.begin().await?;
    let confirmed = execute(
        &tx.conn,
        "UPDATE collections SET confirmed_at = $1, confirmed_by = $2
         WHERE partner_id = $3 AND mapping_id = $4 AND name = $5 AND held_at IS NOT NULL",
        vec![
            scope.now().into(),
            scope.actor().name.clone().into(),
            scope.partner().into(),
            mapping.into(),
            name.into(),
        ],
    )
    .await?;
    if confirmed == 0 {
        return Ok(None);
    }
    audit::append(
        &tx,
        scope,
        "collection.confirm",
        Target::new("mapping", mapping, name.replace('_', " ")),
        json!({ "collection": name }),
    )
    .await?;
    tx.commit().await?;
    Ok(Some(()))
}

impl Hold {
    /// In words.
    pub fn sentence(&self) -> String {
        format!(
            "{} of {} {} are missing from Microsoft's answer. They are kept until somebody confirms \
             that they are gone.",
            self.missing,
            self.known,
            self.name.replace('_', " ")
        )
    }
}
