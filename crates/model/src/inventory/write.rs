//! One write of a run: versions of objects, inside the transaction of whoever calls.

use std::collections::{HashMap, HashSet};

use sea_orm::{Value, sea_query::ArrayType};

use super::{OPEN, Object, Table};
use crate::{
    Error, Result,
    db::{Tx, execute, placeholders, query_all},
    run::lease::{Counts, Lease},
};

mod insert;
mod removal;

pub(super) use removal::{
    discard, ended, remove, remove_of, remove_unseen, remove_unseen_by, restore, spare,
};

/// SQLite takes 32,766 parameters in a statement.
const MAX_PARAMETERS: usize = 32_000;

/// What a version that is stored looks like.
struct Known {
    digest: i64,
    since: i64,
    first_seen_at: i64,
}

/// Partner and mapping, as `$1` and `$2` of every statement here.
pub(super) fn keys(lease: &Lease) -> Vec<Value> {
    vec![lease.run.partner_id.into(), lease.mapping_id().into()]
}

/// First eight bytes of the SHA-256 of the row as JSON: tells whether it changed.
fn digest(row: &impl serde::Serialize, buffer: &mut Vec<u8>) -> Result<i64> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, row).map_err(|e| Error::Stored(e.to_string()))?;
    let hash = ring::digest::digest(&ring::digest::SHA256, buffer);
    let mut first = [0u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    Ok(i64::from_be_bytes(first))
}

/// Objects of one parent, or of a table without parents, found by their ids; objects of several
/// parents found by these, of which each was read whole.
enum Keys<'a> {
    Ids(Option<(&'static str, &'a str)>, Vec<&'a str>),
    Parents(&'static str, Vec<&'a str>),
}

impl<'a> Keys<'a> {
    fn of<O: Object>(rows: &'a [O]) -> Self {
        let parents: HashSet<&str> = rows.iter().map(O::parent).collect();
        match O::TABLE.parent {
            Some(column) if parents.len() > 1 => {
                Self::Parents(column, parents.into_iter().collect())
            }
            column => {
                let mut seen = HashSet::with_capacity(rows.len());
                let ids = rows.iter().map(O::id).filter(|id| seen.insert(*id));
                Self::Ids(column.zip(parents.into_iter().next()), ids.collect())
            }
        }
    }

    /// Conditions of statements, each with its parameters after those given. PostgreSQL takes the
    /// keys as one array, so that it plans the statement once and not for each number of keys.
    fn conditions(&self, lease: &Lease, values: &[Value]) -> Vec<(String, Vec<Value>)> {
        let (column, parent, list) = match self {
            Self::Ids(parent, ids) => ("id", *parent, ids),
            Self::Parents(column, parents) => (*column, None, parents),
        };
        let is_postgres = lease.scope().db().kind() == "postgres";
        let most = if is_postgres {
            usize::MAX
        } else {
            MAX_PARAMETERS
        };
        list.chunks(most)
            .map(|chunk| {
                let mut values = values.to_vec();
                let mut sql = String::new();
                if let Some((column, parent)) = parent {
                    values.push(parent.into());
                    sql = format!(" AND {column} = ${}", values.len());
                }
                let keys = chunk.iter().map(|key| Value::from(*key));
                if is_postgres {
                    values.push(Value::Array(
                        ArrayType::String,
                        Some(Box::new(keys.collect())),
                    ));
                    sql.push_str(&format!(" AND {column} = ANY(${})", values.len()));
                } else {
                    let marks = placeholders(values.len() + 1, chunk.len());
                    sql.push_str(&format!(" AND {column} IN ({marks})"));
                    values.extend(keys);
                }
                (sql, values)
            })
            .collect()
    }
}

/// Writes objects: new ones, and versions of those that changed; notes that the others were seen.
/// An object that comes twice (pages may overlap while a directory changes) counts as it was seen
/// last. With `first`, nothing of the table is stored yet, and nothing is looked up.
pub(super) async fn upsert<O: Object>(
    tx: &Tx,
    lease: &Lease,
    rows: Vec<O>,
    first: bool,
) -> Result<Counts> {
    let mut counts = Counts {
        read: i64::try_from(rows.len()).unwrap_or_default(),
        ..Counts::default()
    };
    let mut buffer = Vec::with_capacity(1024);
    let digests: Vec<i64> = rows
        .iter()
        .map(|row| digest(row, &mut buffer))
        .collect::<Result<_>>()?;
    // The last of those that came twice, in the order of the page.
    let mut last: HashMap<(&str, &str), usize> = HashMap::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        last.insert((row.parent(), row.id()), i);
    }
    let known = match first {
        true => HashMap::new(),
        false => known::<O>(tx, lease, &Keys::of(&rows)).await?,
    };
    let (mut same, mut changed, mut write) = (Vec::new(), Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let key = (row.parent(), row.id());
        if last.get(&key) != Some(&i) {
            continue;
        }
        match known.get(&(key.0.to_owned(), key.1.to_owned())) {
            Some(before) if before.digest == digests[i] => same.push(i),
            Some(before) => {
                counts.changed += 1;
                if before.since < lease.generation() {
                    changed.push(i);
                }
                write.push((i, Some(before.first_seen_at)));
            }
            None => {
                counts.new += 1;
                write.push((i, None));
            }
        }
    }
    touch::<O>(tx, lease, &rows, &same).await?;
    let ended = end::<O>(tx, lease, &rows, &changed).await?;
    debug_assert_eq!(ended, changed.len() as u64);
    insert::insert(tx, lease, rows, &digests, &write).await?;
    Ok(counts)
}

/// Current versions of these objects.
async fn known<O: Object>(
    tx: &Tx,
    lease: &Lease,
    keys_of: &Keys<'_>,
) -> Result<HashMap<(String, String), Known>> {
    let Table { name, parent, .. } = O::TABLE;
    let parent = parent.unwrap_or("''");
    let mut known = HashMap::new();
    for (condition, values) in keys_of.conditions(lease, &keys(lease)) {
        let sql = format!(
            "SELECT id, digest, since, first_seen_at, {parent} FROM {name}
             WHERE partner_id = $1 AND mapping_id = $2{condition} AND until = {OPEN}"
        );
        for row in query_all(&tx.conn, &sql, values).await? {
            let version = Known {
                digest: row.try_get_by_index(1)?,
                since: row.try_get_by_index(2)?,
                first_seen_at: row.try_get_by_index(3)?,
            };
            known.insert(
                (row.try_get_by_index(4)?, row.try_get_by_index(0)?),
                version,
            );
        }
    }
    Ok(known)
}

/// Rows of `which`, in groups of the same parent.
fn by_parent<'a, O: Object>(rows: &'a [O], which: &[usize]) -> Vec<Keys<'a>> {
    let mut groups: HashMap<&str, Vec<&str>> = HashMap::new();
    for &i in which {
        groups
            .entry(rows[i].parent())
            .or_default()
            .push(rows[i].id());
    }
    groups
        .into_iter()
        .map(|(parent, ids)| Keys::Ids(O::TABLE.parent.map(|column| (column, parent)), ids))
        .collect()
}

/// Notes that unchanged objects were seen by this pass.
async fn touch<O: Object>(tx: &Tx, lease: &Lease, rows: &[O], which: &[usize]) -> Result<()> {
    let mut values = keys(lease);
    values.push(lease.generation().into());
    for group in by_parent(rows, which) {
        for (condition, values) in group.conditions(lease, &values) {
            let sql = format!(
                "UPDATE {} SET seen = $3
                 WHERE partner_id = $1 AND mapping_id = $2{condition} AND until = {OPEN}",
                O::TABLE.name
            );
            execute(&tx.conn, &sql, values).await?;
        }
    }
    Ok(())
}

/// Ends current versions of earlier generations, because newer ones follow.
async fn end<O: Object>(tx: &Tx, lease: &Lease, rows: &[O], which: &[usize]) -> Result<u64> {
    let mut ended = 0;
    for group in by_parent(rows, which) {
        ended += close(tx, lease, O::TABLE, &group).await?;
    }
    Ok(ended)
}

async fn close(tx: &Tx, lease: &Lease, table: &Table, group: &Keys<'_>) -> Result<u64> {
    let mut values = keys(lease);
    values.push(lease.generation().into());
    values.push(lease.scope().now().into());
    let mut closed = 0;
    for (condition, values) in group.conditions(lease, &values) {
        let sql = format!(
            "UPDATE {} SET until = $3, ended_at = $4
             WHERE partner_id = $1 AND mapping_id = $2{condition} AND until = {OPEN}",
            table.name
        );
        closed += execute(&tx.conn, &sql, values).await?;
    }
    Ok(closed)
}
