//! Reading any table of objects as records of named fields: what lists, details, files and histories
//! share.

use sea_orm::{QueryResult, Value};

use super::{Field, OPEN, Snapshot, Table};
use crate::{
    CompanyId, Listing, MappingId, Result, Scope, Timestamp, Window,
    db::{placeholders, query_all, query_one},
    directory::like_patterns,
};

/// What a field of a record holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A text; lists and structures are JSON.
    Text(String),
    /// Yes or no.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// Points.
    Points(f64),
    /// A moment.
    Time(Timestamp),
}

/// One object. A field that is `None` is unknown, or Microsoft gave no value.
#[derive(Debug, Clone)]
pub struct Record {
    /// Microsoft's id.
    pub id: String,
    /// The object that it belongs to, in tables that have parents.
    pub parent: Option<String>,
    /// The mapping by which it was read.
    pub mapping: MappingId,
    /// Its fields, in the order of the table's columns.
    pub fields: Vec<(&'static str, Option<Cell>)>,
    /// When it was seen first.
    pub first_seen_at: Timestamp,
    /// When this version was seen first.
    pub changed_at: Timestamp,
    /// When it was seen to be gone, if readers do not see it any more.
    pub ended_at: Option<Timestamp>,
}

impl Record {
    /// A field by its name.
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.fields
            .iter()
            .find(|(field, _)| *field == name)
            .and_then(|(_, cell)| cell.as_ref())
    }

    /// A field that holds text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Cell::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A field that holds a moment.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        match self.get(name) {
            Some(Cell::Time(at)) => Some(*at),
            _ => None,
        }
    }

    /// The name to show: its own, or its id.
    pub fn name(&self) -> &str {
        [
            "display_name",
            "user_principal_name",
            "sku_part_number",
            "activity",
            "title",
        ]
        .iter()
        .find_map(|field| self.text(field))
        .filter(|name| !name.is_empty())
        .unwrap_or(&self.id)
    }
}

/// What happened to an object, as syncs saw it.
#[derive(Debug, Clone, PartialEq)]
pub enum History {
    /// It appeared.
    Appeared(Timestamp),
    /// Fields of it changed: name, before, after.
    Changed(Timestamp, Vec<(&'static str, Option<Cell>, Option<Cell>)>),
    /// It was gone.
    Left(Timestamp),
}

/// Order of a list.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// A column of the table.
    pub column: &'static str,
    /// Largest first.
    pub descending: bool,
}

fn read(row: &QueryResult, table: &'static Table) -> Result<Record> {
    let mut fields = Vec::with_capacity(table.columns.len());
    for (name, field) in table.columns {
        let cell = match field {
            Field::Text => row.try_get::<Option<String>>("", name)?.map(Cell::Text),
            Field::Boolean => row.try_get::<Option<bool>>("", name)?.map(Cell::Boolean),
            Field::Number => row.try_get::<Option<i64>>("", name)?.map(Cell::Number),
            Field::Points => row.try_get::<Option<f64>>("", name)?.map(Cell::Points),
            Field::Time => row.try_get::<Option<Timestamp>>("", name)?.map(Cell::Time),
        };
        fields.push((*name, cell));
    }
    Ok(Record {
        id: row.try_get("", "id")?,
        parent: match table.parent {
            Some(column) => Some(row.try_get("", column)?),
            None => None,
        },
        mapping: row.try_get("", "mapping_id")?,
        fields,
        first_seen_at: row.try_get("", "first_seen_at")?,
        changed_at: row.try_get("", "changed_at")?,
        ended_at: None,
    })
}

/// Columns whose text a search looks into: the id, which is all that some objects are called by, and
/// names.
fn searched(table: &Table) -> Vec<&'static str> {
    let named = |column: &str| {
        column.ends_with("name")
            || matches!(
                column,
                "activity" | "title" | "app_id" | "serial_number" | "sku_part_number"
            )
    };
    let columns = table
        .columns
        .iter()
        .filter(|(_, field)| *field == Field::Text);
    let names = columns.map(|(name, _)| *name).filter(|name| named(name));
    ["id"].into_iter().chain(names).collect()
}

/// `FROM … WHERE …` of the objects that a snapshot shows, and its parameters.
fn condition(
    table: &Table,
    snapshot: &Snapshot,
    wanted: &[(&str, &str)],
    search: &str,
) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let mut sql = format!(
        "FROM {} t WHERE {}",
        table.name,
        snapshot.sql("t", &mut values)
    );
    for (column, value) in wanted {
        values.push((*value).into());
        sql.push_str(&format!(" AND t.{column} = ${}", values.len()));
    }
    if !search.trim().is_empty() {
        let from = values.len() + 1;
        values.extend(like_patterns(search).map(Value::from));
        let any: Vec<String> = searched(table)
            .iter()
            .flat_map(|column| {
                (from..from + 3)
                    .map(move |n| format!("LOWER(COALESCE(t.{column}, '')) LIKE ${n} ESCAPE '\\'"))
            })
            .collect();
        sql.push_str(&format!(" AND ({})", any.join(" OR ")));
    }
    (sql, values)
}

/// Objects that a snapshot shows, where columns have the wanted values; ordered by `sort`, else by
/// the table's first column.
pub async fn list(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    wanted: &[(&'static str, &str)],
    search: &str,
    sort: Option<Sort>,
    window: Window,
) -> Result<Listing<Record>> {
    let conn = &scope.conn();
    let (condition, values) = condition(table, snapshot, wanted, search);
    let total = total(scope, &condition, values.clone()).await?;
    let sort = sort.unwrap_or(Sort {
        column: table.columns.first().map_or("id", |(name, _)| name),
        descending: false,
    });
    let sql = format!(
        "SELECT t.* {condition} ORDER BY t.{} {}, t.mapping_id, t.id LIMIT {} OFFSET {}",
        sort.column,
        if sort.descending { "DESC" } else { "ASC" },
        window.limit,
        window.offset
    );
    let rows = query_all(conn, &sql, values).await?;
    Ok(Listing {
        rows: rows
            .iter()
            .map(|row| read(row, table))
            .collect::<Result<_>>()?,
        total,
    })
}

async fn total(scope: &Scope, condition: &str, values: Vec<Value>) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) AS n {condition}");
    let n: i64 = query_one(&scope.conn(), &sql, values)
        .await?
        .map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok(u64::try_from(n).unwrap_or_default())
}

/// How many objects a snapshot shows, where columns have the wanted values.
pub async fn count(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    wanted: &[(&'static str, &str)],
) -> Result<u64> {
    let (condition, values) = condition(table, snapshot, wanted, "");
    total(scope, &condition, values).await
}

/// All objects of a parent.
pub async fn children(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    parent: &str,
) -> Result<Vec<Record>> {
    let Some(column) = table.parent else {
        return Ok(vec![]);
    };
    of_parents(scope, table, snapshot, column, parent).await
}

/// All objects whose column has a value.
pub async fn of_parents(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    column: &'static str,
    value: &str,
) -> Result<Vec<Record>> {
    let window = Window {
        offset: 0,
        limit: 5000,
    };
    let wanted = [(column, value)];
    Ok(list(scope, table, snapshot, &wanted, "", None, window)
        .await?
        .rows)
}

/// Objects whose column has one of these values.
pub(crate) async fn all_of(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    column: &'static str,
    among: &[&str],
) -> Result<Vec<Record>> {
    if among.is_empty() {
        return Ok(vec![]);
    }
    let (condition, mut values) = condition(table, snapshot, &[], "");
    let list = placeholders(values.len() + 1, among.len());
    values.extend(among.iter().map(|value| Value::from(*value)));
    let sql = format!("SELECT t.* {condition} AND t.{column} IN ({list})");
    let rows = query_all(&scope.conn(), &sql, values).await?;
    rows.iter().map(|row| read(row, table)).collect()
}

/// Objects behind an id, by id, at most so many; those alone whose version is newer than a generation.
pub(crate) async fn behind(
    scope: &Scope,
    table: &'static Table,
    snapshot: &Snapshot,
    since: i64,
    id: &str,
    limit: u64,
) -> Result<Vec<Record>> {
    let (condition, mut values) = condition(table, snapshot, &[], "");
    values.extend([since.into(), id.into()]);
    let n = values.len();
    let sql = format!(
        "SELECT t.* {condition} AND t.since > ${} AND t.id > ${n} ORDER BY t.id LIMIT {limit}",
        n - 1
    );
    let rows = query_all(&scope.conn(), &sql, values).await?;
    rows.iter().map(|row| read(row, table)).collect()
}

/// All versions of an object that were published, oldest first.
async fn versions(
    scope: &Scope,
    company: CompanyId,
    table: &'static Table,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Vec<(Record, i64, i64, Option<Timestamp>)>> {
    if !scope.sees(company) {
        return Ok(vec![]);
    }
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT t.* FROM {} t WHERE t.partner_id = $1 AND t.company_id = $2 AND t.id = $3
                AND t.until > t.since ORDER BY t.mapping_id, t.since",
            table.name
        ),
        vec![scope.partner().into(), company.into(), id.into()],
    )
    .await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        let record = read(row, table)?;
        let (since, until): (i64, i64) = (row.try_get("", "since")?, row.try_get("", "until")?);
        let published = snapshot.generation(record.mapping);
        if since <= published {
            let until = if until > published { OPEN } else { until };
            versions.push((record, since, until, row.try_get("", "ended_at")?));
        }
    }
    Ok(versions)
}

/// One object of a company by Microsoft's id, also one that is gone: its history stays readable.
pub async fn record(
    scope: &Scope,
    company: CompanyId,
    table: &'static Table,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Option<Record>> {
    let versions = versions(scope, company, table, snapshot, id).await?;
    let newest = versions
        .into_iter()
        .max_by_key(|(_, since, until, _)| (*until == OPEN, *since));
    Ok(newest.map(|(record, _, until, ended_at)| Record {
        ended_at: ended_at.filter(|_| until != OPEN),
        ..record
    }))
}

/// What syncs saw happen to an object, newest first.
pub async fn history(
    scope: &Scope,
    company: CompanyId,
    table: &'static Table,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Vec<History>> {
    let versions = versions(scope, company, table, snapshot, id).await?;
    let mut history: Vec<History> = Vec::new();
    for (i, (record, since, until, ended_at)) in versions.iter().enumerate() {
        let before = i
            .checked_sub(1)
            .map(|i| &versions[i])
            .filter(|(before, _, until, _)| until == since && before.mapping == record.mapping);
        match before {
            None => history.push(History::Appeared(record.changed_at)),
            Some((before, ..)) => {
                let changes: Vec<_> = record
                    .fields
                    .iter()
                    .zip(&before.fields)
                    .filter(|((_, after), (_, before))| after != before)
                    .map(|((name, after), (_, before))| (*name, before.clone(), after.clone()))
                    .collect();
                if !changes.is_empty() {
                    history.push(History::Changed(record.changed_at, changes));
                }
            }
        }
        let goes_on = versions
            .get(i + 1)
            .is_some_and(|(next, since, ..)| since == until && next.mapping == record.mapping);
        if let Some(at) = ended_at.filter(|_| *until != OPEN && !goes_on) {
            history.push(History::Left(at));
        }
    }
    history.reverse();
    Ok(history)
}
