//! A mapping was not synced within its time, or a part of it was not read: evidence of it counts no more.

use std::collections::BTreeMap;

use super::Cause;
use crate::{
    CompanyId, EvidenceKind, MappingId, Result, Scope, Severity, Timestamp,
    db::query_all,
    evidence::{self, limit_ms},
};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let now = scope.now();
    let mut stale: BTreeMap<MappingId, Vec<EvidenceKind>> = BTreeMap::new();
    for source in evidence::sources(scope, None).await? {
        // What was never seen is not stale: the page of its sync says why.
        if source.observed_at.is_some() && !source.is_fresh(now) {
            stale.entry(source.mapping).or_default().push(source.kind);
        }
    }
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, m.company_id, m.last_sync_at, m.created_at, c.name, t.display_name,
            COALESCE(m.interval_minutes, k.sync_interval_minutes) AS minutes
         FROM mappings m
         JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
         JOIN tenants t ON t.partner_id = m.partner_id AND t.id = m.tenant_id
         JOIN credentials k ON k.partner_id = m.partner_id AND k.id = m.credential_id
         WHERE m.partner_id = $1 AND m.deleted_at IS NULL",
        vec![scope.partner().into()],
    )
    .await?;
    let mut causes = Vec::new();
    for row in &rows {
        let mapping: MappingId = row.try_get("", "id")?;
        let synced: Option<Timestamp> = row.try_get("", "last_sync_at")?;
        let since: Timestamp = match synced {
            Some(at) => at,
            None => row.try_get("", "created_at")?,
        };
        let limit = limit_ms(row.try_get("", "minutes")?);
        let is_late = since.plus_ms(limit) < now;
        let kinds = stale.remove(&mapping).unwrap_or_default();
        if !is_late && kinds.is_empty() {
            continue;
        }
        let company: CompanyId = row.try_get("", "company_id")?;
        let (name, tenant): (String, String) =
            (row.try_get("", "name")?, row.try_get("", "display_name")?);
        let hours = limit / 3_600_000;
        let what = match (is_late, synced) {
            (true, Some(_)) => format!("{tenant} was not synced for more than {hours} hours."),
            (true, None) => format!("{tenant} was never synced since it was mapped."),
            (false, _) => format!(
                "{tenant} is synced, but a part of it was not read to its end for more than {hours} hours."
            ),
        };
        let labels: Vec<&str> = kinds.iter().map(|kind| kind.label()).collect();
        let lost = match labels.is_empty() {
            true => String::new(),
            false => format!(
                " Evidence counts no more until it is seen again: {}.",
                labels.join(", ")
            ),
        };
        causes.push(Cause {
            subject: mapping.to_string(),
            company: Some(company),
            severity: Severity::Warning,
            stage: String::new(),
            title: format!("{name}: data is stale"),
            text: format!("{what}{lost}"),
            link: format!("/companies/{company}/evidence"),
        });
    }
    Ok(causes)
}
