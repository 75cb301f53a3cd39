//! The share of users with a second factor is at least five points of a hundred lower than a week before.
//! It is read from evidence: what was known then is what the statement of that day says.

use serde_json::Value;

use super::{Cause, DAY_MS, percent};
use crate::{CompanyId, MappingId, Result, Scope, Severity, db::query_all};

/// Points of a hundred.
const FALL: f64 = 5.0;

/// Registered, and those of whom it is known either way.
fn share(content: &str) -> (i64, i64) {
    let says: Value = serde_json::from_str(content).unwrap_or_default();
    let n = |name: &str| says[name].as_i64().unwrap_or_default();
    (n("registered"), n("registered") + n("not_registered"))
}

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let newest = |before: &str| {
        format!(
            "(SELECT o.evidence_id FROM evidence_observations o WHERE o.partner_id = m.partner_id
                AND o.mapping_id = m.id AND o.kind = 'mfa_registration' {before}
                ORDER BY o.observed_at DESC LIMIT 1)"
        )
    };
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT m.id, m.company_id, c.name, n.content AS now, b.content AS before
             FROM mappings m
             JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
             JOIN evidence n ON n.partner_id = m.partner_id AND n.id = {}
             JOIN evidence b ON b.partner_id = m.partner_id AND b.id = {}
             WHERE m.partner_id = $2 AND m.deleted_at IS NULL AND n.id <> b.id",
            newest(""),
            newest("AND o.observed_at <= $1")
        ),
        vec![
            scope.now().plus_ms(-7 * DAY_MS).into(),
            scope.partner().into(),
        ],
    )
    .await?;
    let mut causes = Vec::new();
    for row in &rows {
        let (registered, known) = share(&row.try_get::<String>("", "now")?);
        let (registered_before, known_before) = share(&row.try_get::<String>("", "before")?);
        let (now, before) = (
            percent(registered, known),
            percent(registered_before, known_before),
        );
        // Where nothing is known there is no share.
        if known == 0 || known_before == 0 || before - now < FALL {
            continue;
        }
        let mapping: MappingId = row.try_get("", "id")?;
        let company: CompanyId = row.try_get("", "company_id")?;
        causes.push(Cause {
            subject: mapping.to_string(),
            company: Some(company),
            severity: Severity::Warning,
            stage: String::new(),
            title: format!("{}: fewer users have MFA", row.try_get::<String>("", "name")?),
            text: format!(
                "{registered} of {known} users are registered ({now} %); a week before it was {before} %."
            ),
            link: format!("/companies/{company}/users?mfa=missing"),
        });
    }
    Ok(causes)
}
