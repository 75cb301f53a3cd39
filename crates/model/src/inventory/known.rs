//! What a run looks up of what readers see.

use super::{Object, Table, write::keys};
use crate::{
    Result,
    db::{query_all, query_one},
    run::lease::Lease,
};

/// Number of objects that readers see.
pub(super) async fn present(
    conn: &impl sea_orm::ConnectionTrait,
    lease: &Lease,
    table: &'static Table,
) -> Result<i64> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    let row = query_one(
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

/// Ids of the service principals that readers see and that have application roles to give.
pub async fn resources(lease: &Lease) -> Result<Vec<String>> {
    let mut values = keys(lease);
    values.push(lease.published().into());
    query_all(
        &lease.scope().conn(),
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
    let row = query_one(
        &lease.scope().conn(),
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
        &lease.scope().conn(),
        lease,
        <super::UserRow as Object>::TABLE,
    )
    .await
}
