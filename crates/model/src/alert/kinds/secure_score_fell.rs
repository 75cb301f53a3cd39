//! Secure Score is at least five points of a hundred lower than a week before.

use std::collections::BTreeMap;

use super::{Cause, DAY_MS};
use crate::{CompanyId, MappingId, Result, Scope, Severity, db::query_all};

/// Points of a hundred.
const FALL: f64 = 5.0;

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let now = scope.now();
    let rows = query_all(
        &scope.conn(),
        "SELECT t.mapping_id, m.company_id, c.name, t.day, t.current_score, t.max_score
         FROM secure_scores t
         JOIN mappings m ON m.partner_id = t.partner_id AND m.id = t.mapping_id
            AND m.deleted_at IS NULL
         JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
         JOIN snapshots s ON s.partner_id = t.partner_id AND s.mapping_id = t.mapping_id
            AND s.kind = 'secure_score' AND t.since <= s.published AND t.until > s.published
         WHERE t.partner_id = $1 AND t.day >= $2 AND t.max_score > 0
         ORDER BY t.mapping_id, t.day",
        vec![
            scope.partner().into(),
            now.plus_ms(-16 * DAY_MS).day().into(),
        ],
    )
    .await?;
    let mut days: BTreeMap<MappingId, Vec<(String, f64, CompanyId, String)>> = BTreeMap::new();
    for row in &rows {
        let (current, max): (f64, f64) = (
            row.try_get("", "current_score")?,
            row.try_get("", "max_score")?,
        );
        days.entry(row.try_get("", "mapping_id")?)
            .or_default()
            .push((
                row.try_get("", "day")?,
                current / max * 100.0,
                row.try_get("", "company_id")?,
                row.try_get("", "name")?,
            ));
    }
    let mut causes = Vec::new();
    for (mapping, days) in days {
        let Some((day, percent, company, name)) = days.last() else {
            continue;
        };
        let Ok(newest) = chrono::NaiveDate::parse_from_str(day, "%Y-%m-%d") else {
            continue;
        };
        let week_before = (newest - chrono::Days::new(7)).to_string();
        let Some((_, before, ..)) = days.iter().rev().find(|(day, ..)| *day <= week_before) else {
            continue;
        };
        if before - percent < FALL {
            continue;
        }
        causes.push(Cause {
            subject: mapping.to_string(),
            company: Some(*company),
            severity: Severity::Warning,
            stage: String::new(),
            title: format!("{name}: Secure Score fell"),
            text: format!(
                "From {before:.1} % to {percent:.1} % within a week. The page shows which controls lost points."
            ),
            link: format!("/companies/{company}/secure-score"),
        });
    }
    Ok(causes)
}
