//! One write of a run: versions of objects, inside the transaction of whoever calls.

use std::collections::{HashMap, HashSet};

use sea_orm::{Value, sea_query::ArrayType};

use super::{Field, OPEN, Object, Table};
use crate::{
    Error, Result,
    db::{Tx, execute, placeholders, query_all},
    run::lease::{Counts, Lease},
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
    insert(tx, lease, rows, &digests, &write).await?;
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

/// A new version: key, digest and when the object was seen first, and its columns.
struct Version {
    parent: Option<String>,
    id: String,
    digest: i64,
    first_seen_at: i64,
    values: Vec<Value>,
}

async fn insert<O: Object>(
    tx: &Tx,
    lease: &Lease,
    rows: Vec<O>,
    digests: &[i64],
    which: &[(usize, Option<i64>)],
) -> Result<()> {
    let mut rows: Vec<Option<O>> = rows.into_iter().map(Some).collect();
    let mut versions = which.iter().filter_map(|&(i, first_seen_at)| {
        let row = rows[i].take()?;
        let mut version = Version {
            parent: O::TABLE.parent.map(|_| row.parent().to_owned()),
            id: row.id().to_owned(),
            digest: digests[i],
            first_seen_at: first_seen_at.unwrap_or(lease.scope().now().0),
            values: Vec::with_capacity(O::TABLE.columns.len()),
        };
        row.values(&mut version.values);
        version.values.iter_mut().for_each(make_storable);
        Some(version)
    });
    let rows = match lease.scope().db().kind() {
        "postgres" => usize::MAX,
        _ => ROWS,
    };
    loop {
        let chunk: Vec<Version> = versions.by_ref().take(rows).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        // What is the same for all rows is bound once: $1 partner, $2 mapping, $3 company,
        // $4 generation, $5 now.
        let mut values = keys(lease);
        values.push(lease.mapping.company_id.into());
        values.push(lease.generation().into());
        values.push(lease.scope().now().into());
        let source = match lease.scope().db().kind() {
            "postgres" => recordset(O::TABLE, &chunk, &mut values)?,
            _ => tuples(O::TABLE, chunk, &mut values),
        };
        execute(&tx.conn, &insert_sql(O::TABLE, &source), values).await?;
    }
}

/// Rows of one statement on SQLite, which reuses it; PostgreSQL, which pays for each round trip,
/// takes any number as one document.
const ROWS: usize = 100;

fn insert_sql(table: &Table, source: &str) -> String {
    use std::fmt::Write;
    let parent = table.parent.map_or(String::new(), |p| format!("{p}, "));
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    // Twice in one pass: the later one stands.
    let mut sql = format!(
        "INSERT INTO {} (partner_id, mapping_id, company_id, since, until, seen, changed_at,
            {parent}id, digest, first_seen_at, {})
         {source}
         ON CONFLICT (partner_id, mapping_id, {parent}id, since) DO UPDATE SET until = {OPEN},
            seen = excluded.seen, ended_at = NULL, digest = excluded.digest",
        table.name,
        columns.join(", ")
    );
    for column in columns {
        let _ = write!(sql, ", {column} = excluded.{column}");
    }
    sql
}

/// The rows as parameters.
fn tuples(table: &Table, versions: Vec<Version>, values: &mut Vec<Value>) -> String {
    use std::fmt::Write;
    let mut sql = String::from("VALUES ");
    let per_row = table.columns.len() + 3 + usize::from(table.parent.is_some());
    values.reserve(versions.len() * per_row);
    for (i, version) in versions.into_iter().enumerate() {
        let _ = write!(
            sql,
            "{}($1, $2, $3, $4, {OPEN}, $4, $5, {})",
            if i > 0 { ", " } else { "" },
            placeholders(values.len() + 1, per_row)
        );
        values.extend(version.parent.map(Value::from));
        values.push(version.id.into());
        values.push(version.digest.into());
        values.push(version.first_seen_at.into());
        values.extend(version.values);
    }
    sql
}

/// The rows as one JSON document: one statement for each table, whatever the number of rows, where
/// lists of parameters are a statement for each number (a worker's peak memory fell from 40 to 30 MB
/// in the bench of many tenants; its time and the server's stayed as they were).
fn recordset(table: &Table, versions: &[Version], values: &mut Vec<Value>) -> Result<String> {
    let rows: Vec<Json<'_>> = versions.iter().map(|row| Json { table, row }).collect();
    let text = serde_json::to_string(&rows).map_err(|e| Error::Stored(e.to_string()))?;
    values.push(text.into());
    let parent = table.parent.map(|p| (p, Field::Text));
    let own = [
        ("id", Field::Text),
        ("digest", Field::Number),
        ("first_seen_at", Field::Time),
    ];
    let all = || parent.iter().chain(&own).chain(table.columns);
    let names: Vec<&str> = all().map(|(name, _)| *name).collect();
    let typed: Vec<String> = all()
        .map(|(name, field)| {
            let of = match field {
                Field::Text => "text",
                Field::Boolean => "boolean",
                Field::Number | Field::Time => "bigint",
                Field::Points => "double precision",
            };
            format!("{name} {of}")
        })
        .collect();
    Ok(format!(
        "SELECT $1, $2, $3, $4, {OPEN}, $4, $5, {} FROM json_to_recordset(CAST($6 AS json)) AS row({})",
        names.join(", "),
        typed.join(", ")
    ))
}

/// A version as an object of its columns.
struct Json<'a> {
    table: &'a Table,
    row: &'a Version,
}

impl serde::Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = to.serialize_map(None)?;
        if let (Some(name), Some(parent)) = (self.table.parent, &self.row.parent) {
            map.serialize_entry(name, parent)?;
        }
        map.serialize_entry("id", &self.row.id)?;
        map.serialize_entry("digest", &self.row.digest)?;
        map.serialize_entry("first_seen_at", &self.row.first_seen_at)?;
        for ((name, _), value) in self.table.columns.iter().zip(&self.row.values) {
            match value {
                Value::String(text) => map.serialize_entry(name, text)?,
                Value::Bool(is_so) => map.serialize_entry(name, is_so)?,
                Value::BigInt(number) => map.serialize_entry(name, number)?,
                Value::Double(number) => map.serialize_entry(name, number)?,
                // The macro that makes rows has columns of these types only.
                other => return Err(serde::ser::Error::custom(format!("{name}: {other:?}"))),
            }
        }
        map.end()
    }
}

/// PostgreSQL takes no NUL in a text; a directory's names may hold anything.
fn make_storable(value: &mut Value) {
    if let Value::String(Some(text)) = value
        && text.contains('\0')
    {
        *text = text.replace('\0', "");
    }
}

/// Ends objects that Microsoft says are gone. Answers how many were there.
pub(super) async fn remove(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
    parent: Option<&str>,
    ids: &[String],
) -> Result<u64> {
    let ids = ids.iter().map(String::as_str).collect();
    let parent = table.parent.zip(parent);
    close(tx, lease, table, &Keys::Ids(parent, ids)).await
}

/// Ends everything of these parents. Answers how many objects that were.
pub(super) async fn remove_of(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
    parents: &[String],
) -> Result<u64> {
    let Some(column) = table.parent else {
        return Ok(0);
    };
    let parents = parents.iter().map(String::as_str).collect();
    close(tx, lease, table, &Keys::Parents(column, parents)).await
}

/// Notes that the objects of these parents were seen, because their parents could not be read.
pub(super) async fn spare(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
    parents: &[String],
) -> Result<()> {
    let Some(column) = table.parent else {
        return Ok(());
    };
    let mut values = keys(lease);
    values.push(lease.generation().into());
    let parents = parents.iter().map(String::as_str).collect();
    for (condition, values) in Keys::Parents(column, parents).conditions(lease, &values) {
        let sql = format!(
            "UPDATE {} SET seen = $3
             WHERE partner_id = $1 AND mapping_id = $2{condition} AND until = {OPEN}",
            table.name
        );
        execute(&tx.conn, &sql, values).await?;
    }
    Ok(())
}

/// After a complete pass, and only then: ends what the pass did not see. Answers how many.
pub(super) async fn remove_unseen(tx: &Tx, lease: &Lease, table: &'static Table) -> Result<u64> {
    let mut values = keys(lease);
    values.push(lease.generation().into());
    values.push(lease.scope().now().into());
    let sql = format!(
        "UPDATE {} SET until = $3, ended_at = $4
         WHERE partner_id = $1 AND mapping_id = $2 AND until = {OPEN} AND seen < $3",
        table.name
    );
    Ok(execute(&tx.conn, &sql, values).await?)
}

/// The same of those whose column has one of these values, each of which was read whole.
pub(super) async fn remove_unseen_by(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
    column: &'static str,
    parents: &[String],
) -> Result<u64> {
    let mut values = keys(lease);
    values.push(lease.generation().into());
    values.push(lease.scope().now().into());
    let parents = parents.iter().map(String::as_str).collect();
    let mut ended = 0;
    for (condition, values) in Keys::Parents(column, parents).conditions(lease, &values) {
        let sql = format!(
            "UPDATE {} SET until = $3, ended_at = $4
             WHERE partner_id = $1 AND mapping_id = $2{condition} AND until = {OPEN} AND seen < $3",
            table.name
        );
        ended += execute(&tx.conn, &sql, values).await?;
    }
    Ok(ended)
}

/// Takes back the removals of this pass: what ended without a successor is current again.
pub(super) async fn restore(tx: &Tx, lease: &Lease, table: &'static Table) -> Result<()> {
    let parent = table
        .parent
        .map_or(String::new(), |p| format!(" AND later.{p} = t.{p}"));
    let mut values = keys(lease);
    values.push(lease.generation().into());
    let sql = format!(
        "UPDATE {0} AS t SET until = {OPEN}, ended_at = NULL
         WHERE t.partner_id = $1 AND t.mapping_id = $2 AND t.until = $3 AND t.since < $3
            AND NOT EXISTS (SELECT 1 FROM {0} later WHERE later.partner_id = $1
                AND later.mapping_id = $2{parent} AND later.id = t.id AND later.since = $3)",
        table.name
    );
    execute(&tx.conn, &sql, values).await?;
    Ok(())
}

/// Takes back everything that was written after the generation that readers see.
pub(super) async fn discard(tx: &Tx, lease: &Lease, table: &'static Table) -> Result<()> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    let sql = format!(
        "DELETE FROM {} WHERE partner_id = $1 AND mapping_id = $2 AND since > $3",
        table.name
    );
    execute(&tx.conn, &sql, values.clone()).await?;
    let sql = format!(
        "UPDATE {} SET until = {OPEN}, ended_at = NULL
         WHERE partner_id = $1 AND mapping_id = $2 AND until > $3 AND until < {OPEN}",
        table.name
    );
    execute(&tx.conn, &sql, values).await?;
    Ok(())
}

/// Number of objects that readers see.
pub(super) async fn present(
    conn: &impl sea_orm::ConnectionTrait,
    lease: &Lease,
    table: &'static Table,
) -> Result<i64> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    let row = crate::db::query_one(
        conn,
        &format!(
            "SELECT COUNT(*) AS n FROM {} WHERE partner_id = $1 AND mapping_id = $2
                AND since <= $3 AND until > $3",
            table.name
        ),
        values,
    )
    .await?;
    Ok(row.map_or(Ok(0), |r| r.try_get("", "n"))?)
}

/// Number of objects that ended with this generation and have no successor in it.
pub(super) async fn ended(tx: &Tx, lease: &Lease, table: &'static Table) -> Result<i64> {
    let parent = table
        .parent
        .map_or(String::new(), |p| format!(" AND later.{p} = t.{p}"));
    let mut values = keys(lease);
    values.push(lease.generation().into());
    let row = crate::db::query_one(
        &tx.conn,
        &format!(
            "SELECT COUNT(*) AS n FROM {0} AS t
             WHERE t.partner_id = $1 AND t.mapping_id = $2 AND t.until = $3 AND t.since < $3
                AND NOT EXISTS (SELECT 1 FROM {0} later WHERE later.partner_id = $1
                    AND later.mapping_id = $2{parent} AND later.id = t.id AND later.since = $3)",
            table.name
        ),
        values,
    )
    .await?;
    Ok(row.map_or(Ok(0), |r| r.try_get("", "n"))?)
}

/// Ids of the service principals that readers see and that have application roles to give.
pub async fn resources(lease: &Lease) -> Result<Vec<String>> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    query_all(
        lease.scope().db().conn(),
        "SELECT id FROM service_principals
         WHERE partner_id = $1 AND mapping_id = $2 AND since <= $3 AND until > $3
            AND app_roles <> '{}' ORDER BY id",
        values,
    )
    .await?
    .into_iter()
    .map(|row| Ok(row.try_get("", "id")?))
    .collect()
}

/// The newest day of Secure Score that is stored, `yyyy-mm-dd`.
pub async fn newest_score_day(lease: &Lease) -> Result<Option<String>> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    let row = crate::db::query_one(
        lease.scope().db().conn(),
        "SELECT MAX(day) AS day FROM secure_scores
         WHERE partner_id = $1 AND mapping_id = $2 AND since <= $3 AND until > $3",
        values,
    )
    .await?;
    Ok(row.map_or(Ok(None), |r| r.try_get("", "day"))?)
}

/// Number of users that readers see: the tenant's limit depends on them.
pub async fn users(lease: &Lease) -> Result<i64> {
    present(
        lease.scope().db().conn(),
        lease,
        <super::UserRow as Object>::TABLE,
    )
    .await
}
