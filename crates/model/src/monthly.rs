//! What a month's report of a company says: read once, shown as a page, a PDF and a mail.

use crate::{
    CompanyId, EvidenceKind, Result, RunKind, Scope, Timestamp,
    db::{query_all, query_one},
    directory::{self, Overview},
    inventory::Snapshot,
    mapping, secure_score,
};

/// People and controls that a report names; the rest is counted.
const NAMED: u64 = 15;
const DAY_MS: i64 = 24 * 60 * 60_000;

/// Secure Score of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The tenant's name.
    pub tenant: String,
    /// Percent of each day, oldest first, of the month and the sixty days before it.
    pub days: Vec<(String, f64)>,
    /// Percent on the first day of the month that is known.
    pub first: Option<f64>,
    /// Percent on its last day that is known.
    pub last: Option<f64>,
    /// The average of all organisations then, as Microsoft gives it.
    pub average: Option<f64>,
    /// Controls with the most points to win: title, points.
    pub to_win: Vec<(String, f64)>,
}

/// Second factors: how many users have one, of those of whom it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mfa {
    /// Registered.
    pub registered: i64,
    /// Known either way.
    pub known: i64,
    /// Not known.
    pub unknown: i64,
}

impl Mfa {
    /// In percent of those of whom it is known.
    #[allow(clippy::cast_precision_loss)] // numbers of users
    pub fn percent(&self) -> Option<f64> {
        (self.known > 0).then(|| self.registered as f64 * 100.0 / self.known as f64)
    }
}

/// A report.
#[derive(Debug, Clone)]
pub struct Monthly {
    /// The company's name.
    pub company: String,
    /// `yyyy-mm`.
    pub month: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The moment after it.
    pub until: Timestamp,
    /// When it was made: accounts are those of then.
    pub made_at: Timestamp,
    /// When the directory was read last.
    pub synced_at: Option<Timestamp>,
    /// Secure Score of each tenant.
    pub scores: Vec<Score>,
    /// Accounts.
    pub accounts: Overview,
    /// Second factors now.
    pub mfa: Mfa,
    /// Second factors before the month, as evidence of then says.
    pub mfa_before: Option<Mfa>,
    /// Who has an administrator's role: name, role.
    pub administrators: Vec<(String, String)>,
    /// How many assignments of such roles there are.
    pub administrators_in_all: i64,
    /// Enabled accounts that did not sign in for 30, 60 and 90 days; `None` where that was not read.
    pub stale: Option<[i64; 3]>,
    /// Accounts that appeared in the month: how many, and the first names.
    pub appeared: (i64, Vec<String>),
    /// Accounts that left in it.
    pub left: (i64, Vec<String>),
    /// Alerts of the company that opened in it: when, title, when they closed.
    pub alerts: Vec<(Timestamp, String, Option<Timestamp>)>,
}

/// First moment of a month, and the moment after it; `None` for what is no month `yyyy-mm`.
pub fn bounds(month: &str) -> Option<(Timestamp, Timestamp)> {
    if month.len() != 7 {
        return None;
    }
    let first = chrono::NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok()?;
    let next = first.checked_add_months(chrono::Months::new(1))?;
    let at = |day: chrono::NaiveDate| Some(day.and_hms_opt(0, 0, 0)?.and_utc().into());
    Some((at(first)?, at(next)?))
}

/// Reads a report. `None` when there is no such company in scope, or no such month before now.
pub async fn gather(scope: &Scope, id: CompanyId, month: &str) -> Result<Option<Monthly>> {
    let Some(company) = crate::company::get(scope, id).await? else {
        return Ok(None);
    };
    let Some((from, until)) = bounds(month).filter(|(from, _)| *from <= scope.now()) else {
        return Ok(None);
    };
    let mappings = mapping::of_company(scope, id, false).await?;
    let mut scores = Vec::new();
    for row in &mappings {
        scores.extend(score(scope, row, from, until).await?);
    }
    let accounts = directory::overview(scope, id).await?;
    let mfa = Mfa {
        registered: accounts.mfa_registered,
        known: accounts.mfa_registered + accounts.mfa_not_registered,
        unknown: accounts.mfa_unknown,
    };
    let (administrators, administrators_in_all) = administrators(scope, id).await?;
    Ok(Some(Monthly {
        company: company.name,
        month: month.to_owned(),
        from,
        until,
        made_at: scope.now(),
        synced_at: directory::synced_at(&mappings),
        scores,
        mfa,
        mfa_before: mfa_before(scope, id, from).await?,
        accounts,
        administrators,
        administrators_in_all,
        stale: stale(scope, id).await?,
        appeared: appeared(scope, id, from, until).await?,
        left: left(scope, id, from, until).await?,
        alerts: alerts(scope, id, from, until).await?,
    }))
}

async fn score(
    scope: &Scope,
    row: &mapping::MappingRow,
    from: Timestamp,
    until: Timestamp,
) -> Result<Option<Score>> {
    let begin = from.plus_ms(-60 * DAY_MS).day();
    let (first_day, end) = (from.day(), until.day());
    let all = secure_score::days(scope, row.mapping.id).await?;
    let within: Vec<_> = all
        .iter()
        .filter(|score| score.day >= begin && score.day < end)
        .collect();
    let Some(newest) = within.last() else {
        return Ok(None);
    };
    let days: Vec<(String, f64)> = within
        .iter()
        .filter_map(|score| Some((score.day.clone(), secure_score::percent(score)?)))
        .collect();
    let of_month: Vec<f64> = days
        .iter()
        .filter(|(day, _)| *day >= first_day)
        .map(|(_, percent)| *percent)
        .collect();
    let averages = secure_score::averages(newest);
    let average = averages.iter().find(|a| a.basis == "AllTenants");
    let mut controls = secure_score::controls(scope, row.mapping.id).await?;
    controls.sort_by(|a, b| b.open_points().total_cmp(&a.open_points()));
    Ok(Some(Score {
        tenant: row.tenant.label(),
        first: of_month.first().copied(),
        last: of_month.last().copied(),
        average: average.map(|a| a.average_score),
        to_win: controls
            .iter()
            .filter(|control| control.open_points() > 0.0)
            .take(5)
            .map(|control| (control.title().to_owned(), control.open_points()))
            .collect(),
        days,
    }))
}

/// What the newest statement before a moment says, over all tenants of the company.
async fn mfa_before(scope: &Scope, company: CompanyId, at: Timestamp) -> Result<Option<Mfa>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT e.content FROM mappings m
         JOIN evidence e ON e.partner_id = m.partner_id AND e.id =
            (SELECT o.evidence_id FROM evidence_observations o WHERE o.partner_id = m.partner_id
                AND o.mapping_id = m.id AND o.kind = $1 AND o.observed_at <= $2
                ORDER BY o.observed_at DESC LIMIT 1)
         WHERE m.partner_id = $3 AND m.company_id = $4 AND m.deleted_at IS NULL",
        vec![
            EvidenceKind::MfaRegistration.as_str().into(),
            at.into(),
            scope.partner().into(),
            company.into(),
        ],
    )
    .await?;
    let mut sum: Option<Mfa> = None;
    for row in &rows {
        let content: String = row.try_get("", "content")?;
        let says: serde_json::Value = serde_json::from_str(&content).unwrap_or_default();
        let n = |name: &str| says[name].as_i64().unwrap_or_default();
        let sum = sum.get_or_insert_default();
        sum.registered += n("registered");
        sum.known += n("registered") + n("not_registered");
        sum.unknown += n("unknown");
    }
    Ok(sum)
}

async fn administrators(scope: &Scope, company: CompanyId) -> Result<(Vec<(String, String)>, i64)> {
    let seen = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    let mut values = vec![];
    let definition = seen.joined("d", "r", &mut values);
    let condition = seen.sql("r", &mut values);
    let from = format!(
        "FROM role_assignments r LEFT JOIN role_definitions d ON d.id = r.role_definition_id
            AND {definition} WHERE {condition}"
    );
    let sql = format!(
        "SELECT COALESCE(r.principal_name, r.principal_id) AS called,
            COALESCE(d.display_name, r.role_definition_id) AS role {from}
         ORDER BY CASE WHEN d.display_name = 'Global Administrator' THEN 0 ELSE 1 END, role, called
         LIMIT {NAMED}"
    );
    let rows = query_all(&scope.conn(), &sql, values.clone()).await?;
    let named = rows
        .iter()
        .map(|row| Ok((row.try_get("", "called")?, row.try_get("", "role")?)))
        .collect::<Result<_>>()?;
    let sql = format!("SELECT COUNT(*) AS n {from}");
    let all = query_one(&scope.conn(), &sql, values)
        .await?
        .map_or(Ok(0), |row| row.try_get("", "n"))?;
    Ok((named, all))
}

async fn stale(scope: &Scope, company: CompanyId) -> Result<Option<[i64; 3]>> {
    let directory = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    let activity = Snapshot::of_company(scope, company, RunKind::SignInActivity).await?;
    if activity.is_empty() {
        return Ok(None);
    }
    let mut values = vec![];
    let known = activity.joined("a", "u", &mut values);
    let users = directory.sql("u", &mut values);
    let mut counts = Vec::new();
    for days in [30, 60, 90] {
        values.push(scope.now().plus_ms(-days * DAY_MS).into());
        let n = values.len();
        // One that never signed in and was made lately is not stale yet.
        counts.push(format!(
            "COUNT(CASE WHEN COALESCE(a.last_sign_in_at, u.account_created_at, 0) < ${n} THEN 1 END)
                AS stale_{days}"
        ));
    }
    let sql = format!(
        "SELECT {} FROM users u JOIN sign_in_activities a ON a.id = u.id AND {known}
         WHERE {users} AND u.account_enabled",
        counts.join(", ")
    );
    let Some(row) = query_one(&scope.conn(), &sql, values).await? else {
        return Ok(None);
    };
    Ok(Some([
        row.try_get("", "stale_30")?,
        row.try_get("", "stale_60")?,
        row.try_get("", "stale_90")?,
    ]))
}

/// Accounts that appeared, but for those that the first sync found.
async fn appeared(
    scope: &Scope,
    company: CompanyId,
    from: Timestamp,
    until: Timestamp,
) -> Result<(i64, Vec<String>)> {
    let seen = Snapshot::of_company(scope, company, RunKind::Directory).await?;
    let mut values = vec![];
    let users = seen.sql("u", &mut values);
    values.extend([from.into(), until.into()]);
    let n = values.len();
    let condition = format!(
        "FROM users u WHERE {users} AND u.first_seen_at >= ${} AND u.first_seen_at < ${n}
            AND u.first_seen_at > (SELECT MIN(r.finished_at) FROM runs r
                WHERE r.partner_id = u.partner_id AND r.mapping_id = u.mapping_id
                AND r.kind = 'directory' AND r.state IN ('completed', 'partial'))",
        n - 1
    );
    named(scope, &condition, values).await
}

/// Accounts that were there and are no more.
async fn left(
    scope: &Scope,
    company: CompanyId,
    from: Timestamp,
    until: Timestamp,
) -> Result<(i64, Vec<String>)> {
    let values = vec![
        scope.partner().into(),
        company.into(),
        from.into(),
        until.into(),
    ];
    let condition = "FROM users u
        JOIN snapshots s ON s.partner_id = u.partner_id AND s.mapping_id = u.mapping_id
            AND s.kind = 'directory'
        WHERE u.partner_id = $1 AND u.company_id = $2 AND u.ended_at >= $3 AND u.ended_at < $4
            AND u.until <= s.published AND NOT EXISTS (SELECT 1 FROM users n
                WHERE n.partner_id = u.partner_id AND n.mapping_id = u.mapping_id AND n.id = u.id
                AND n.since >= u.until)";
    named(scope, condition, values).await
}

async fn named(
    scope: &Scope,
    condition: &str,
    values: Vec<sea_orm::Value>,
) -> Result<(i64, Vec<String>)> {
    let sql = format!("SELECT COUNT(*) AS n {condition}");
    let all = query_one(&scope.conn(), &sql, values.clone())
        .await?
        .map_or(Ok(0), |row| row.try_get("", "n"))?;
    let sql =
        format!("SELECT u.display_name {condition} ORDER BY u.display_name, u.id LIMIT {NAMED}");
    let rows = query_all(&scope.conn(), &sql, values).await?;
    let names = rows.iter().map(|row| row.try_get("", "display_name"));
    Ok((all, names.collect::<Result<_, _>>()?))
}

async fn alerts(
    scope: &Scope,
    company: CompanyId,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<(Timestamp, String, Option<Timestamp>)>> {
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT opened_at, title, closed_at FROM alerts WHERE partner_id = $1 AND company_id = $2
                AND opened_at >= $3 AND opened_at < $4 AND severity <> 'info'
             ORDER BY opened_at LIMIT {NAMED}"
        ),
        vec![
            scope.partner().into(),
            company.into(),
            from.into(),
            until.into(),
        ],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get("", "opened_at")?,
                row.try_get("", "title")?,
                row.try_get("", "closed_at")?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_bounds() {
        let (from, until) = bounds("2026-02").unwrap();
        assert_eq!(
            (from.day(), until.day()),
            ("2026-02-01".into(), "2026-03-01".into())
        );
        for bad in ["2026-13", "2026", "26-01", "2026-1", "2026-01-01", "x"] {
            assert_eq!(bounds(bad), None, "{bad}");
        }
    }
}
