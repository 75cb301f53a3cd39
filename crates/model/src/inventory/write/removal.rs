//! What a pass ends, and how that is taken back.

use super::{Keys, close, keys};
use crate::{
    Result,
    db::{Tx, execute, query_one},
    inventory::{OPEN, Table},
    run::lease::Lease,
};

/// Ends objects that Microsoft says are gone. Answers how many were there.
pub(in crate::inventory) async fn remove(
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
pub(in crate::inventory) async fn remove_of(
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
pub(in crate::inventory) async fn spare(
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
pub(in crate::inventory) async fn remove_unseen(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
) -> Result<u64> {
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
pub(in crate::inventory) async fn remove_unseen_by(
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
pub(in crate::inventory) async fn restore(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
) -> Result<()> {
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
pub(in crate::inventory) async fn discard(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
) -> Result<()> {
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

/// Number of objects that ended with this generation and have no successor in it.
pub(in crate::inventory) async fn ended(
    tx: &Tx,
    lease: &Lease,
    table: &'static Table,
) -> Result<i64> {
    let parent = table
        .parent
        .map_or(String::new(), |p| format!(" AND later.{p} = t.{p}"));
    let mut values = keys(lease);
    values.push(lease.generation().into());
    let row = query_one(
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
