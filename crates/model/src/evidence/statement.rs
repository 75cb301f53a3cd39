//! What the statements say, read from the objects that a snapshot shows. None holds a moment of the
//! sync itself, so that the same directory gives the same statement.

use std::collections::BTreeMap;

use ring::digest;
use sea_orm::Value as Bound;
use serde_json::{Value, json};

use crate::{
    EvidenceKind, Result, Scope, Timestamp,
    db::{query_all, query_one},
    inventory::Snapshot,
};

/// Accounts that are read together.
const PAGE: usize = 5000;
/// Days of events that a statement speaks of.
const DAYS: i64 = 30;
/// Objects that a statement names; the rest is counted.
const NAMED: usize = 1000;

/// An account as a population has it.
pub(super) struct Account {
    id: String,
    user_principal_name: String,
    user_type: Option<String>,
    account_enabled: Option<bool>,
    licensed: Option<bool>,
}

impl Account {
    /// A line of the population.
    pub(super) fn line(&self) -> String {
        json!([
            self.id,
            self.user_principal_name,
            self.user_type,
            self.account_enabled,
            self.licensed
        ])
        .to_string()
    }
}

/// Every account that a snapshot shows, in the order of their ids.
pub(super) async fn each_account(
    scope: &Scope,
    seen: &Snapshot,
    mut each: impl FnMut(&Account),
) -> Result<()> {
    let mut after = String::new();
    loop {
        let mut values = vec![];
        let condition = seen.sql("u", &mut values);
        values.push(after.into());
        let sql = format!(
            "SELECT u.id, u.user_principal_name, u.user_type, u.account_enabled, u.licensed
             FROM users u WHERE {condition} AND u.id > ${} ORDER BY u.id LIMIT {PAGE}",
            values.len()
        );
        let rows = query_all(&scope.conn(), &sql, values).await?;
        let mut last = String::new();
        for row in &rows {
            let account = Account {
                id: row.try_get("", "id")?,
                user_principal_name: row.try_get("", "user_principal_name")?,
                user_type: row.try_get("", "user_type")?,
                account_enabled: row.try_get("", "account_enabled")?,
                licensed: row.try_get("", "licensed")?,
            };
            each(&account);
            last = account.id;
        }
        if rows.len() < PAGE {
            return Ok(());
        }
        after = last;
    }
}

/// What a kind says of the objects that a snapshot shows; `at` is when the run ended.
pub(super) async fn of(
    scope: &Scope,
    seen: &Snapshot,
    kind: EvidenceKind,
    at: Timestamp,
    read: &[String],
) -> Result<Value> {
    let mut says = match kind {
        EvidenceKind::UserInventory => user_inventory(scope, seen).await?,
        EvidenceKind::MfaRegistration => mfa_registration(scope, seen).await?,
        EvidenceKind::ConditionalAccessPolicies => policies(scope, seen).await?,
        EvidenceKind::PrivilegedRoles => privileged_roles(scope, seen).await?,
        EvidenceKind::RiskySignInEvents => risky_events(scope, seen, at, read).await?,
    };
    if let Some(says) = says.as_object_mut() {
        says.insert("kind".into(), json!(kind));
        says.insert("form".into(), json!(1));
    }
    Ok(says)
}

async fn user_inventory(scope: &Scope, seen: &Snapshot) -> Result<Value> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let (mut all, mut guests, mut enabled, mut disabled, mut licensed) = (0, 0, 0, 0, 0);
    each_account(scope, seen, |account| {
        hash.update(account.line().as_bytes());
        hash.update(b"\n");
        let is_guest = account
            .user_type
            .as_deref()
            .is_some_and(|t| t.eq_ignore_ascii_case("guest"));
        all += 1;
        guests += i64::from(is_guest);
        enabled += i64::from(account.account_enabled == Some(true));
        disabled += i64::from(account.account_enabled == Some(false));
        licensed += i64::from(account.licensed == Some(true));
    })
    .await?;
    let hash = data_encoding::HEXLOWER.encode(hash.finish().as_ref());
    Ok(json!({
        "accounts": all, "members": all - guests, "guests": guests, "enabled": enabled,
        "disabled": disabled, "enabled_unknown": all - enabled - disabled, "licensed": licensed,
        "population": {
            "sha256": hash,
            "columns": ["id", "userPrincipalName", "userType", "accountEnabled", "isLicensed"],
        },
    }))
}

async fn mfa_registration(scope: &Scope, seen: &Snapshot) -> Result<Value> {
    let from = |values: &mut Vec<Bound>| {
        let registration = seen.joined("m", "u", values);
        let users = seen.sql("u", values);
        format!(
            "FROM users u LEFT JOIN mfa_registrations m ON m.id = u.id AND {registration} WHERE {users}"
        )
    };
    let mut values = vec![];
    let condition = from(&mut values);
    let count = |name: &str, of: &str| format!("COUNT(CASE WHEN {of} THEN 1 END) AS {name}");
    let sql = format!(
        "SELECT COUNT(*) AS accounts, {}, {}, {}, {}, {}, {}, {} {condition}",
        count("registered", "m.is_mfa_registered"),
        count("not_registered", "NOT m.is_mfa_registered"),
        count("capable", "m.is_mfa_capable"),
        count("passwordless", "m.is_passwordless_capable"),
        count("admins", "m.is_admin"),
        count("admins_registered", "m.is_admin AND m.is_mfa_registered"),
        count("admins_not", "m.is_admin AND NOT m.is_mfa_registered"),
    );
    let row = query_one(&scope.conn(), &sql, values).await?;
    let n = |name: &str| -> Result<i64> {
        row.as_ref().map_or(Ok(0), |row| Ok(row.try_get("", name)?))
    };
    let mut values = vec![];
    let condition = from(&mut values);
    let sql = format!(
        "SELECT u.id, u.user_principal_name {condition} AND m.is_admin AND NOT m.is_mfa_registered
         ORDER BY u.id LIMIT {NAMED}"
    );
    let mut without = Vec::new();
    for row in query_all(&scope.conn(), &sql, values).await? {
        without.push(json!({
            "id": row.try_get::<String>("", "id")?,
            "userPrincipalName": row.try_get::<String>("", "user_principal_name")?,
        }));
    }
    let mut values = vec![];
    let condition = from(&mut values);
    let sql = format!(
        "SELECT m.methods, COUNT(*) AS n {condition} AND m.methods IS NOT NULL GROUP BY m.methods"
    );
    let mut methods: BTreeMap<String, i64> = BTreeMap::new();
    for row in query_all(&scope.conn(), &sql, values).await? {
        let together: String = row.try_get("", "methods")?;
        let n: i64 = row.try_get("", "n")?;
        let together: Vec<String> = serde_json::from_str(&together).unwrap_or_default();
        for method in together {
            *methods.entry(method).or_default() += n;
        }
    }
    let (accounts, registered, not) = (n("accounts")?, n("registered")?, n("not_registered")?);
    Ok(json!({
        "accounts": accounts, "registered": registered, "not_registered": not,
        "unknown": accounts - registered - not, "mfa_capable": n("capable")?,
        "passwordless_capable": n("passwordless")?, "methods": methods,
        "administrators": {
            "in_all": n("admins")?, "registered": n("admins_registered")?,
            "not_registered": n("admins_not")?, "without": without,
        },
    }))
}

async fn policies(scope: &Scope, seen: &Snapshot) -> Result<Value> {
    let mut values = vec![];
    let condition = seen.sql("p", &mut values);
    let sql = format!(
        "SELECT p.id, p.display_name, p.state, p.policy_modified_at
         FROM conditional_access_policies p WHERE {condition} ORDER BY p.id"
    );
    let mut states: BTreeMap<String, i64> = BTreeMap::new();
    let mut all = Vec::new();
    for row in query_all(&scope.conn(), &sql, values).await? {
        let state: String = row.try_get("", "state")?;
        *states.entry(state.clone()).or_default() += 1;
        all.push(json!({
            "id": row.try_get::<String>("", "id")?,
            "displayName": row.try_get::<String>("", "display_name")?,
            "state": state,
            "modifiedDateTime": row.try_get::<Option<Timestamp>>("", "policy_modified_at")?,
        }));
    }
    Ok(json!({ "policies_in_all": all.len(), "states": states, "policies": all }))
}

async fn privileged_roles(scope: &Scope, seen: &Snapshot) -> Result<Value> {
    let assigned = roles(scope, seen, "role_assignments").await?;
    let eligible = roles(scope, seen, "role_eligibilities").await?;
    let mut roles: Vec<&Value> = assigned
        .iter()
        .map(|one| &one["roleDefinitionId"])
        .collect();
    roles.sort_unstable_by_key(|id| id.as_str());
    roles.dedup();
    Ok(json!({
        "roles_in_all": roles.len(), "assignments_in_all": assigned.len(),
        "eligible_in_all": eligible.len(), "assignments": assigned, "eligible": eligible,
    }))
}

async fn roles(scope: &Scope, seen: &Snapshot, table: &str) -> Result<Vec<Value>> {
    let mut values = vec![];
    let definition = seen.joined("d", "r", &mut values);
    let condition = seen.sql("r", &mut values);
    let sql = format!(
        "SELECT r.id, r.principal_id, r.principal_type, r.principal_name, r.role_definition_id,
            r.directory_scope_id, d.display_name AS role
         FROM {table} r LEFT JOIN role_definitions d ON d.id = r.role_definition_id AND {definition}
         WHERE {condition} ORDER BY r.id"
    );
    let rows = query_all(&scope.conn(), &sql, values).await?;
    rows.iter()
        .map(|row| {
            let text = |name| row.try_get::<Option<String>>("", name);
            Ok(json!({
                "id": text("id")?, "principalId": text("principal_id")?,
                "principalType": text("principal_type")?, "principalName": text("principal_name")?,
                "roleDefinitionId": text("role_definition_id")?, "role": text("role")?,
                "directoryScopeId": text("directory_scope_id")?,
            }))
        })
        .collect()
}

async fn risky_events(
    scope: &Scope,
    seen: &Snapshot,
    at: Timestamp,
    read: &[String],
) -> Result<Value> {
    const DAY_MS: i64 = 24 * 60 * 60_000;
    // From the beginning of a day, so that two syncs of a day say the same.
    let from = Timestamp((at.0 - DAYS * DAY_MS).div_euclid(DAY_MS) * DAY_MS);
    let (sign_ins, signed) = events(
        scope,
        seen,
        "sign_ins",
        "signed_in_at",
        "app_display_name",
        from,
    )
    .await?;
    let (detections, detected) = events(
        scope,
        seen,
        "risk_detections",
        "detected_at",
        "risk_event_type",
        from,
    )
    .await?;
    Ok(json!({
        "from": from, "days": DAYS, "read": read, "sign_ins_in_all": signed,
        "detections_in_all": detected, "sign_ins": sign_ins, "detections": detections,
    }))
}

/// The newest events since a moment, and how many there are.
async fn events(
    scope: &Scope,
    seen: &Snapshot,
    table: &str,
    moment: &str,
    what: &str,
    from: Timestamp,
) -> Result<(Vec<Value>, i64)> {
    let mut values = vec![];
    let condition = seen.sql("e", &mut values);
    values.push(from.into());
    let condition = format!(
        "FROM {table} e WHERE {condition} AND e.{moment} >= ${}",
        values.len()
    );
    let count = format!("SELECT COUNT(*) AS n {condition}");
    let all: i64 = query_one(&scope.conn(), &count, values.clone())
        .await?
        .map_or(Ok(0), |row| row.try_get("", "n"))?;
    let sql = format!(
        "SELECT e.id, e.{moment} AS moment, e.{what} AS what, e.user_principal_name, e.risk_level,
            e.risk_state, e.ip_address, e.country {condition}
         ORDER BY e.{moment} DESC, e.id LIMIT {NAMED}"
    );
    let mut named = Vec::new();
    for row in query_all(&scope.conn(), &sql, values).await? {
        let text = |name| row.try_get::<Option<String>>("", name);
        named.push(json!({
            "id": text("id")?, "at": row.try_get::<Option<Timestamp>>("", "moment")?,
            "what": text("what")?, "userPrincipalName": text("user_principal_name")?,
            "riskLevel": text("risk_level")?, "riskState": text("risk_state")?,
            "ipAddress": text("ip_address")?, "countryOrRegion": text("country")?,
        }));
    }
    Ok((named, all))
}
