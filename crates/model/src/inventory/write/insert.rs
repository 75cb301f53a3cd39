//! New versions of objects, many in one statement: parameters on SQLite, one JSON document on
//! PostgreSQL.

use sea_orm::Value;

use super::keys;
use crate::{
    Error, Result,
    db::{Tx, execute, placeholders},
    inventory::{Field, OPEN, Object, Table},
    run::lease::Lease,
};

/// A new version: key, digest and when the object was seen first, and its columns.
struct Version {
    parent: Option<String>,
    id: String,
    digest: i64,
    first_seen_at: i64,
    values: Vec<Value>,
}

pub(super) async fn insert<O: Object>(
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
