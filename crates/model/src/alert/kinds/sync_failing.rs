//! The newest sync of a mapping failed.

use super::Cause;
use crate::{CompanyId, MappingId, Result, RunId, Scope, Severity, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, m.company_id, c.name, t.display_name, r.id AS run_id, r.number, r.error, r.remedy
         FROM mappings m
         JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
         JOIN tenants t ON t.partner_id = m.partner_id AND t.id = m.tenant_id
         LEFT JOIN runs r ON r.partner_id = m.partner_id AND r.mapping_id = m.id
            AND r.number = (SELECT MAX(f.number) FROM runs f WHERE f.partner_id = m.partner_id
                AND f.mapping_id = m.id AND f.kind = 'directory' AND f.state = 'failed')
         WHERE m.partner_id = $1 AND m.deleted_at IS NULL AND m.last_sync_state = 'failed'
            AND t.state = 'consented'",
        vec![scope.partner().into()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let mapping: MappingId = row.try_get("", "id")?;
            let company: CompanyId = row.try_get("", "company_id")?;
            let run: Option<RunId> = row.try_get("", "run_id")?;
            let error: Option<String> = row.try_get("", "error")?;
            let remedy: Option<String> = row.try_get("", "remedy")?;
            let tenant: String = row.try_get("", "display_name")?;
            let said = [error, remedy]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" ");
            Ok(Cause {
                subject: mapping.to_string(),
                company: Some(company),
                severity: Severity::Critical,
                stage: String::new(),
                title: format!("{}: syncing fails", row.try_get::<String>("", "name")?),
                text: format!(
                    "The newest sync of {tenant} failed. {said} What was known stays readable."
                ),
                link: run.map_or_else(
                    || format!("/companies/{company}"),
                    |run| format!("/jobs/{run}"),
                ),
            })
        })
        .collect()
}
