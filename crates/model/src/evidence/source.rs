//! How fresh evidence is: of each mapping and kind, when it was seen last, and until when that counts.

use std::collections::HashMap;

use crate::{
    CompanyId, EvidenceKind, MappingId, Result, Scope, Timestamp,
    db::{query_all, query_one},
};

const HOUR_MS: i64 = 60 * 60_000;
/// The longest that anything counts: one and a half of the longest interval, a day.
const LONGEST_MS: i64 = 36 * HOUR_MS;

/// Evidence of a mapping that is synced every so many minutes counts for so long: six hours, or one and
/// a half intervals where that is longer.
pub fn limit_ms(interval_minutes: i64) -> i64 {
    (interval_minutes.saturating_mul(60_000) / 2 * 3).max(6 * HOUR_MS)
}

/// One kind of evidence of one mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The mapping.
    pub mapping: MappingId,
    /// Its company.
    pub company: CompanyId,
    /// What it shows.
    pub kind: EvidenceKind,
    /// When a sync saw it last; `None` when none ever did.
    pub observed_at: Option<Timestamp>,
    /// How long that counts.
    pub limit_ms: i64,
}

impl Source {
    /// Until when it counts.
    pub fn stale_at(&self) -> Option<Timestamp> {
        self.observed_at.map(|at| at.plus_ms(self.limit_ms))
    }

    /// Whether it counts at a moment.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.stale_at().is_some_and(|until| now <= until)
    }
}

/// All sources of what the scope sees, or of one company.
pub async fn sources(scope: &Scope, company: Option<CompanyId>) -> Result<Vec<Source>> {
    let newest: Vec<String> = EvidenceKind::ALL
        .iter()
        .map(|kind| {
            format!(
                "(SELECT MAX(o.observed_at) FROM evidence_observations o
                  WHERE o.partner_id = m.partner_id AND o.mapping_id = m.id AND o.kind = '{kind}')
                  AS {kind}"
            )
        })
        .collect();
    let mut values = vec![scope.partner().into()];
    let of_company = match company {
        None => "",
        Some(id) => {
            values.push(id.into());
            "AND m.company_id = $2"
        }
    };
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT m.id, m.company_id,
                COALESCE(m.interval_minutes, c.sync_interval_minutes) AS minutes, {}
             FROM mappings m
             JOIN credentials c ON c.partner_id = m.partner_id AND c.id = m.credential_id
             WHERE m.partner_id = $1 AND m.deleted_at IS NULL {of_company} ORDER BY m.id",
            newest.join(", ")
        ),
        values,
    )
    .await?;
    let mut sources = Vec::with_capacity(rows.len() * EvidenceKind::ALL.len());
    for row in &rows {
        let company: CompanyId = row.try_get("", "company_id")?;
        if !scope.sees(company) {
            continue;
        }
        let minutes: i64 = row.try_get("", "minutes")?;
        for kind in EvidenceKind::ALL.iter().copied() {
            sources.push(Source {
                mapping: row.try_get("", "id")?,
                company,
                kind,
                observed_at: row.try_get("", kind.as_str())?,
                limit_ms: limit_ms(minutes),
            });
        }
    }
    Ok(sources)
}

/// How many mappings there were at a moment, and of how many each kind was fresh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Mappings.
    pub mappings: i64,
    /// Of these, with fresh evidence of a kind.
    pub fresh: HashMap<EvidenceKind, i64>,
}

/// The state of things at moments that are past, of one company or of all that a scope sees that is
/// limited to no companies. Intervals are those of now: earlier ones are not kept.
pub async fn history(
    scope: &Scope,
    company: Option<CompanyId>,
    moments: &[Timestamp],
) -> Result<Vec<History>> {
    let is_seen = match company {
        Some(company) => scope.sees(company),
        None => scope.sees_all_companies(),
    };
    if !is_seen {
        return Ok(vec![]);
    }
    let of_company = company.map_or("", |_| "AND m.company_id = $4");
    let there = format!(
        "m.partner_id = $1 AND m.created_at <= $2 AND (m.deleted_at IS NULL OR m.deleted_at > $2)
         {}",
        company.map_or("", |_| "AND m.company_id = $3")
    );
    let minutes = "COALESCE(m.interval_minutes, c.sync_interval_minutes)";
    let limit = format!(
        "(CASE WHEN {minutes} * 90000 > {six} THEN {minutes} * 90000 ELSE {six} END)",
        six = 6 * HOUR_MS
    );
    let mut all = Vec::with_capacity(moments.len());
    for at in moments {
        let mut values = vec![scope.partner().into(), (*at).into()];
        values.extend(company.map(Into::into));
        let sql = format!("SELECT COUNT(*) AS n FROM mappings m WHERE {there}");
        let mappings = query_one(&scope.conn(), &sql, values)
            .await?
            .map_or(Ok(0), |row| row.try_get("", "n"))?;
        let mut values = vec![
            scope.partner().into(),
            (*at).into(),
            at.plus_ms(-LONGEST_MS).into(),
        ];
        values.extend(company.map(Into::into));
        let sql = format!(
            "SELECT o.kind, COUNT(DISTINCT o.mapping_id) AS n FROM evidence_observations o
             JOIN mappings m ON m.partner_id = o.partner_id AND m.id = o.mapping_id
             JOIN credentials c ON c.partner_id = m.partner_id AND c.id = m.credential_id
             WHERE o.partner_id = $1 AND o.observed_at <= $2 AND o.observed_at > $3
                AND o.observed_at + {limit} >= $2 AND m.created_at <= $2
                AND (m.deleted_at IS NULL OR m.deleted_at > $2) {of_company}
             GROUP BY o.kind"
        );
        let mut fresh = HashMap::new();
        for row in query_all(&scope.conn(), &sql, values).await? {
            let kind: String = row.try_get("", "kind")?;
            if let Ok(kind) = kind.parse() {
                fresh.insert(kind, row.try_get("", "n")?);
            }
        }
        all.push(History { mappings, fresh });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_six_hours_or_one_and_a_half_intervals() {
        assert_eq!(limit_ms(15), 6 * HOUR_MS);
        assert_eq!(limit_ms(240), 6 * HOUR_MS);
        assert_eq!(limit_ms(360), 9 * HOUR_MS);
        assert_eq!(limit_ms(1440), LONGEST_MS);
    }
}
