//! Statements in the SQL that both databases share, with `$1`-style parameters.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, QueryResult, Statement, Value};

use crate::Result;

/// A statement with `$1`-style parameters. SQLite knows them as well, but by name, and both it and
/// its driver look names up one after another: with 20,000 parameters that is quadratic (measured:
/// 0.9 s a page of users instead of 30 ms). So there each becomes a bare `?` in the order of the
/// text, and a value that is used several times is bound several times.
fn statement(conn: &impl ConnectionTrait, sql: &str, mut values: Vec<Value>) -> Statement {
    let backend = conn.get_database_backend();
    if backend != DatabaseBackend::Sqlite {
        return Statement::from_sql_and_values(backend, sql, values);
    }
    let mut parts = sql.split('$');
    let mut text = String::with_capacity(sql.len());
    text.push_str(parts.next().unwrap_or_default());
    let mut order = Vec::with_capacity(values.len());
    let mut uses = vec![0_u32; values.len()];
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or_default();
        let index = number.wrapping_sub(1);
        if let Some(count) = uses.get_mut(index) {
            *count += 1;
            order.push(index);
        }
        text.push('?');
        text.push_str(&part[digits..]);
    }
    // Most values are used once: what is moved need not be copied.
    let bound: Vec<Value> = order
        .into_iter()
        .map(|index| {
            uses[index] -= 1;
            match uses[index] {
                0 => std::mem::replace(&mut values[index], Value::Bool(None)),
                _ => values[index].clone(),
            }
        })
        .collect();
    Statement::from_sql_and_values(backend, text, bound)
}

/// `$from, $from+1, …`, so many.
pub(crate) fn placeholders(from: usize, count: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(count * 7);
    for i in 0..count {
        if i > 0 {
            text.push(',');
        }
        let _ = write!(text, "${}", from + i);
    }
    text
}

/// `($1, $2), ($3, $4), …`: so many rows of so many parameters.
pub(crate) fn rows(count: usize, of: usize) -> String {
    let rows: Vec<String> = (0..count)
        .map(|row| format!("({})", placeholders(1 + row * of, of)))
        .collect();
    rows.join(", ")
}

/// Runs SQL with `$1`-style parameters; answers the number of rows affected.
pub(crate) async fn execute(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<u64, DbErr> {
    let done = conn.execute_raw(statement(conn, sql, values)).await?;
    Ok(done.rows_affected())
}

pub(crate) async fn query_all(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>, DbErr> {
    conn.query_all_raw(statement(conn, sql, values)).await
}

pub(crate) async fn query_one(
    conn: &impl ConnectionTrait,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>, DbErr> {
    conn.query_one_raw(statement(conn, sql, values)).await
}
