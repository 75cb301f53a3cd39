//! Somebody became a global administrator within the last thirty days, after the first sync.

use super::{Cause, DAY_MS, SEEN};
use crate::{CompanyId, MappingId, Result, Scope, Severity, Timestamp, db::query_all};

/// The role's template id, the same in every directory (source: Entra's list of built-in roles).
const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let now = scope.now();
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT t.mapping_id, t.principal_id, t.principal_name, t.first_seen_at, m.company_id,
                c.name AS company
             FROM role_assignments t {SEEN}
             WHERE t.partner_id = $1 AND LOWER(t.role_definition_id) = $2 AND t.first_seen_at > $3
                AND t.first_seen_at > (SELECT MIN(r.finished_at) FROM runs r
                    WHERE r.partner_id = t.partner_id AND r.mapping_id = t.mapping_id
                    AND r.kind = 'directory' AND r.state IN ('completed', 'partial'))
                AND NOT EXISTS (SELECT 1 FROM role_assignments e
                    WHERE e.partner_id = t.partner_id AND e.mapping_id = t.mapping_id
                    AND e.principal_id = t.principal_id
                    AND e.role_definition_id = t.role_definition_id AND e.id <> t.id
                    AND e.since <= s.published AND e.until > s.published
                    AND e.first_seen_at < t.first_seen_at)"
        ),
        vec![
            scope.partner().into(),
            GLOBAL_ADMINISTRATOR.into(),
            now.plus_ms(-30 * DAY_MS).into(),
        ],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let mapping: MappingId = row.try_get("", "mapping_id")?;
            let company: CompanyId = row.try_get("", "company_id")?;
            let principal: String = row.try_get("", "principal_id")?;
            let called: Option<String> = row.try_get("", "principal_name")?;
            let called = called.unwrap_or_else(|| principal.clone());
            let seen: Timestamp = row.try_get("", "first_seen_at")?;
            Ok(Cause {
                subject: format!("{mapping}/{principal}"),
                company: Some(company),
                severity: Severity::Critical,
                stage: String::new(),
                title: format!("{}: {called} is a global administrator", row.try_get::<String>("", "company")?),
                text: format!(
                    "Seen first on {}. Ask the customer whether it is meant; the role gives everything. \
                     The alert closes when the role is taken away, or after thirty days.",
                    seen.day()
                ),
                link: format!("/companies/{company}/directory/role-assignments"),
            })
        })
        .collect()
}
