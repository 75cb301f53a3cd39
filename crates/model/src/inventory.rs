//! Writing what a sync read: one short transaction per page, guarded by the run's fence. Rows are
//! marked removed only by [`mark_removed`], which is called after a complete pass and never else.

use std::collections::{HashMap, HashSet};

use sea_orm::Value;
use serde::Serialize;

use crate::{
    Error, Result, Timestamp,
    db::{Tx, execute, query_all},
    run::lease::{Counts, Lease},
};

/// A row of one inventory table as a collector makes it.
pub trait Object: Serialize + Send + Sync {
    /// Table.
    const TABLE: &'static str;
    /// A second key column that is the same for a whole page (the group of its members), if any.
    const PARENT: Option<&'static str>;
    /// Content columns, in the order of [`Object::values`].
    const COLUMNS: &'static [&'static str];
    /// Microsoft's id of the object.
    fn id(&self) -> &str;
    /// Values of the content columns.
    fn values(&self) -> Vec<Value>;
}

macro_rules! objects {
    ($($(#[$doc:meta])+ $name:ident in $table:literal $(under $parent:literal)? {
        $($field:ident : $type:ty),+ $(,)?
    })+) => { $(
        $(#[$doc])+
        #[derive(Debug, Clone, Serialize)]
        #[allow(missing_docs)]
        pub struct $name { pub id: String, $(pub $field: $type),+ }

        impl Object for $name {
            const TABLE: &'static str = $table;
            const PARENT: Option<&'static str> = objects!(@parent $($parent)?);
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),+];
            fn id(&self) -> &str { &self.id }
            fn values(&self) -> Vec<Value> { vec![$(self.$field.clone().into()),+] }
        }
    )+ };
    (@parent) => { None };
    (@parent $parent:literal) => { Some($parent) };
}

objects! {
    /// A user; the fields are Graph's `user` properties.
    UserRow in "users" {
        display_name: String, user_principal_name: String, mail: Option<String>,
        given_name: Option<String>, surname: Option<String>, job_title: Option<String>,
        department: Option<String>, office_location: Option<String>, company_name: Option<String>,
        employee_id: Option<String>, employee_type: Option<String>,
        usage_location: Option<String>, user_type: Option<String>,
        external_user_state: Option<String>, account_enabled: Option<bool>,
        on_premises_sync_enabled: Option<bool>, licences: Option<String>, licensed: Option<bool>,
        account_created_at: Option<Timestamp>, last_password_change_at: Option<Timestamp>,
    }
    /// A line of the registration report; the fields are Graph's `userRegistrationDetails`.
    MfaRow in "mfa_registrations" {
        is_admin: Option<bool>, is_mfa_registered: Option<bool>, is_mfa_capable: Option<bool>,
        is_passwordless_capable: Option<bool>, methods: Option<String>,
        reported_at: Option<Timestamp>,
    }
    /// A group; `kind` is derived as `docs/architecture.md` says.
    GroupRow in "groups" {
        display_name: String, description: Option<String>, kind: String,
        membership_rule: Option<String>, mail: Option<String>, visibility: Option<String>,
        security_enabled: Option<bool>, mail_enabled: Option<bool>,
        is_assignable_to_role: Option<bool>, on_premises_sync_enabled: Option<bool>,
        group_created_at: Option<Timestamp>,
    }
    /// A member of the group that the page belongs to.
    MemberRow in "group_members" under "group_id" {
        member_type: String, display_name: Option<String>,
    }
    /// A domain; its id is its name.
    DomainRow in "domains" {
        authentication_type: Option<String>, is_default: Option<bool>, is_initial: Option<bool>,
        is_verified: Option<bool>, supported_services: Option<String>,
    }
    /// A licence of the directory; the fields are Graph's `subscribedSku` properties, units are seats.
    SkuRow in "subscribed_skus" {
        sku_id: String, sku_part_number: String, capability_status: Option<String>,
        applies_to: Option<String>, enabled_units: Option<i64>, suspended_units: Option<i64>,
        warning_units: Option<i64>, consumed_units: Option<i64>, service_plans: String,
    }
    /// Secure Score of a day, in points.
    ScoreRow in "secure_scores" {
        day: String, current_score: f64, max_score: f64, active_user_count: Option<i64>,
        licensed_user_count: Option<i64>, enabled_services: String, averages: String,
    }
    /// A control's points on the day that the page belongs to.
    ControlScoreRow in "control_scores" under "day" {
        category: String, score: Option<f64>, score_in_percentage: Option<f64>,
        implementation_status: Option<String>, description: Option<String>,
        last_synced_at: Option<Timestamp>,
    }
    /// A control's profile.
    ControlProfileRow in "control_profiles" {
        title: String, category: String, max_score: Option<f64>, rank: Option<i64>,
        action_type: Option<String>, action_url: Option<String>, service: Option<String>,
        tier: Option<String>, threats: String, user_impact: Option<String>,
        implementation_cost: Option<String>, remediation: Option<String>,
        remediation_impact: Option<String>, state: Option<String>, deprecated: Option<bool>,
    }
}

/// SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535; the lower one rules.
const MAX_PARAMETERS: usize = 32_000;

/// Writes one page and adds to the collector's counts; `counts` carries the requests that it took.
///
/// An object that comes twice (pages may overlap while a directory changes) counts once, as it was
/// seen last.
///
/// # Errors
/// [`Error::LeaseLost`] when the run was cancelled or taken over: nothing is written then.
pub async fn upsert_page<O: Object>(
    lease: &Lease,
    collector: &str,
    parent: Option<&str>,
    rows: &[O],
    counts: Counts,
) -> Result<Counts> {
    upsert_pages(lease, collector, &[(parent, rows)], counts).await
}

/// As [`upsert_page`], for several small pages of different parents in one transaction.
pub async fn upsert_pages<O: Object>(
    lease: &Lease,
    collector: &str,
    pages: &[(Option<&str>, &[O])],
    mut counts: Counts,
) -> Result<Counts> {
    let tx = lease.begin().await?;
    for (parent, rows) in pages {
        let (new, changed) = upsert(&tx, lease, *parent, rows).await?;
        counts.read += i64::try_from(rows.len()).unwrap_or_default();
        counts.new += new;
        counts.changed += changed;
    }
    lease.count_in(&tx, collector, counts).await?;
    tx.commit().await?;
    Ok(counts)
}

async fn upsert<O: Object>(
    tx: &Tx,
    lease: &Lease,
    parent: Option<&str>,
    rows: &[O],
) -> Result<(i64, i64)> {
    let mut newest: HashMap<&str, (&O, i64)> = HashMap::with_capacity(rows.len());
    for row in rows {
        newest.insert(row.id(), (row, digest(row)?));
    }
    let known = known::<O>(tx, lease, parent, newest.keys().copied()).await?;
    let (mut same, mut write) = (Vec::new(), Vec::new());
    let (mut new, mut changed) = (0, 0);
    // In the order of the page, so that rows lie as Microsoft sends them.
    let mut done = HashSet::with_capacity(newest.len());
    for row in rows {
        let id = row.id();
        if !done.insert(id) {
            continue;
        }
        let (row, digest) = newest[id];
        match known.get(id) {
            Some(&(before, false)) if before == digest => same.push(id),
            Some(_) => {
                changed += 1;
                write.push((row, digest));
            }
            None => {
                new += 1;
                write.push((row, digest));
            }
        }
    }
    touch::<O>(tx, lease, parent, &same).await?;
    // SQLite reuses one prepared statement of a hundred rows; PostgreSQL pays for each round trip.
    let most = match lease.scope().db().kind() {
        "sqlite" => 100,
        _ => MAX_PARAMETERS / (O::COLUMNS.len() + 2),
    };
    for chunk in write.chunks(most) {
        insert::<O>(tx, lease, parent, chunk).await?;
    }
    Ok((new, changed))
}

/// First eight bytes of the SHA-256 of the row as JSON: tells whether it changed.
fn digest(row: &impl Serialize) -> Result<i64> {
    let json = serde_json::to_vec(row).map_err(|e| Error::Stored(e.to_string()))?;
    let hash = ring::digest::digest(&ring::digest::SHA256, &json);
    let mut first = [0u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    Ok(i64::from_be_bytes(first))
}

/// `AND parent = $3`, and where the next parameter stands.
fn parent_condition<O: Object>(parent: Option<&str>) -> (String, Vec<Value>) {
    match (O::PARENT, parent) {
        (Some(column), Some(value)) => (format!(" AND {column} = $3"), vec![value.into()]),
        _ => (String::new(), vec![]),
    }
}

fn base_values(lease: &Lease) -> Vec<Value> {
    vec![lease.run.partner_id.into(), lease.mapping_id().into()]
}

fn placeholders(from: usize, count: usize) -> String {
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

/// Digest and "is removed" of those of `ids` that are stored.
async fn known<O: Object>(
    tx: &Tx,
    lease: &Lease,
    parent: Option<&str>,
    ids: impl Iterator<Item = &str>,
) -> Result<HashMap<String, (i64, bool)>> {
    let ids: Vec<&str> = ids.collect();
    let mut known = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(MAX_PARAMETERS) {
        let (condition, parents) = parent_condition::<O>(parent);
        let mut values = base_values(lease);
        values.extend(parents);
        let sql = format!(
            "SELECT id, digest, removed_at FROM {} WHERE partner_id = $1 AND mapping_id = $2{condition} AND id IN ({})",
            O::TABLE,
            placeholders(values.len() + 1, chunk.len()),
        );
        values.extend(chunk.iter().map(|id| Value::from(*id)));
        for row in query_all(&tx.conn, &sql, values).await? {
            let removed: Option<i64> = row.try_get_by_index(2)?;
            known.insert(
                row.try_get_by_index(0)?,
                (row.try_get_by_index(1)?, removed.is_some()),
            );
        }
    }
    Ok(known)
}

/// Notes that unchanged rows were seen by this pass.
async fn touch<O: Object>(
    tx: &Tx,
    lease: &Lease,
    parent: Option<&str>,
    ids: &[&str],
) -> Result<()> {
    for chunk in ids.chunks(MAX_PARAMETERS) {
        let (condition, parents) = parent_condition::<O>(parent);
        let mut values = base_values(lease);
        values.extend(parents);
        let generation = values.len() + 1;
        values.push(lease.generation().into());
        let sql = format!(
            "UPDATE {} SET generation = ${generation} WHERE partner_id = $1 AND mapping_id = $2{condition} AND id IN ({})",
            O::TABLE,
            placeholders(generation + 1, chunk.len()),
        );
        values.extend(chunk.iter().map(|id| Value::from(*id)));
        execute(&tx.conn, &sql, values).await?;
    }
    Ok(())
}

async fn insert<O: Object>(
    tx: &Tx,
    lease: &Lease,
    parent: Option<&str>,
    rows: &[(&O, i64)],
) -> Result<()> {
    use std::fmt::Write;
    // What is the same for all rows is bound once: $1 partner, $2 mapping, $3 company,
    // $4 generation, $5 now, $6 parent.
    let mut values = base_values(lease);
    values.push(lease.mapping.company_id.into());
    values.push(lease.generation().into());
    values.push(lease.scope().now().into());
    let parent_column = match (O::PARENT, parent) {
        (Some(column), Some(value)) => {
            values.push(value.into());
            format!("{column}, ")
        }
        _ => String::new(),
    };
    let parent_value = if parent_column.is_empty() { "" } else { "$6, " };
    let mut sql = format!(
        "INSERT INTO {} (partner_id, mapping_id, company_id, generation, first_seen_at, changed_at, {parent_column}id, digest, {}) VALUES ",
        O::TABLE,
        O::COLUMNS.join(", ")
    );
    let per_row = O::COLUMNS.len() + 2;
    for (i, (row, digest)) in rows.iter().enumerate() {
        let from = values.len() + 1;
        let _ = write!(
            sql,
            "{}($1, $2, $3, $4, $5, $5, {parent_value}{})",
            if i > 0 { ", " } else { "" },
            placeholders(from, per_row)
        );
        values.push(row.id().into());
        values.push((*digest).into());
        values.extend(row.values().into_iter().map(storable));
    }
    let _ = write!(
        sql,
        " ON CONFLICT (partner_id, mapping_id, {parent_column}id) DO UPDATE SET company_id = excluded.company_id, generation = excluded.generation, changed_at = excluded.changed_at, removed_at = NULL, digest = excluded.digest"
    );
    for column in O::COLUMNS {
        let _ = write!(sql, ", {column} = excluded.{column}");
    }
    execute(&tx.conn, &sql, values).await?;
    Ok(())
}

/// PostgreSQL takes no NUL in a text; a directory's names may hold anything.
fn storable(value: Value) -> Value {
    match value {
        Value::String(Some(text)) if text.contains('\0') => {
            Value::String(Some(text.replace('\0', "")))
        }
        other => other,
    }
}

/// After a complete pass, and only then: marks what the pass did not see. Answers how many.
pub async fn mark_removed<O: Object>(
    lease: &Lease,
    collector: &str,
    parents: &[Option<&str>],
) -> Result<i64> {
    let tx = lease.begin().await?;
    let mut removed = 0;
    for parent in parents {
        let (condition, parent_values) = parent_condition::<O>(*parent);
        let mut values = base_values(lease);
        values.extend(parent_values);
        let next = values.len() + 1;
        values.push(lease.generation().into());
        values.push(lease.scope().now().into());
        let sql = format!(
            "UPDATE {} SET removed_at = ${} WHERE partner_id = $1 AND mapping_id = $2{condition} AND generation < ${next} AND removed_at IS NULL",
            O::TABLE,
            next + 1,
        );
        removed += i64::try_from(execute(&tx.conn, &sql, values).await?).unwrap_or_default();
    }
    let counts = Counts {
        removed,
        ..Counts::default()
    };
    lease.count_in(&tx, collector, counts).await?;
    tx.commit().await?;
    Ok(removed)
}

/// Number of rows that are stored and not removed: what the next pass will likely read.
pub async fn present<O: Object>(lease: &Lease) -> Result<i64> {
    let row = crate::db::query_one(
        lease.scope().db().conn(),
        &format!(
            "SELECT COUNT(*) AS n FROM {} WHERE partner_id = $1 AND mapping_id = $2 AND removed_at IS NULL",
            O::TABLE
        ),
        base_values(lease),
    )
    .await?;
    Ok(row.map_or(Ok(0), |r| r.try_get("", "n"))?)
}

/// The newest day of Secure Score that is stored, `yyyy-mm-dd`.
pub async fn newest_score_day(lease: &Lease) -> Result<Option<String>> {
    let row = crate::db::query_one(
        lease.scope().db().conn(),
        "SELECT MAX(day) AS day FROM secure_scores WHERE partner_id = $1 AND mapping_id = $2",
        base_values(lease),
    )
    .await?;
    Ok(row.map_or(Ok(None), |r| r.try_get("", "day"))?)
}

/// Ids of the groups that this pass saw, in order: whose members are read next.
pub async fn group_ids(lease: &Lease) -> Result<Vec<String>> {
    let mut values = base_values(lease);
    values.push(lease.generation().into());
    query_all(
        lease.scope().db().conn(),
        "SELECT id FROM groups WHERE partner_id = $1 AND mapping_id = $2 AND generation = $3
            AND removed_at IS NULL ORDER BY id",
        values,
    )
    .await?
    .into_iter()
    .map(|row| Ok(row.try_get("", "id")?))
    .collect()
}

/// Marks members of groups that are removed themselves.
pub async fn mark_members_of_removed_groups(lease: &Lease, collector: &str) -> Result<i64> {
    let tx = lease.begin().await?;
    let mut values = base_values(lease);
    values.push(lease.scope().now().into());
    let removed = execute(
        &tx.conn,
        "UPDATE group_members SET removed_at = $3 WHERE partner_id = $1 AND mapping_id = $2
            AND removed_at IS NULL AND group_id IN (SELECT id FROM groups
                WHERE partner_id = $1 AND mapping_id = $2 AND removed_at IS NOT NULL)",
        values,
    )
    .await?;
    let counts = Counts {
        removed: i64::try_from(removed).unwrap_or_default(),
        ..Counts::default()
    };
    lease.count_in(&tx, collector, counts).await?;
    tx.commit().await?;
    Ok(counts.removed)
}
