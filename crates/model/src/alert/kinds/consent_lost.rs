//! A mapped tenant's consent is gone.

use super::Cause;
use crate::{CompanyId, MappingId, Result, Scope, Severity, TenantId, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT m.id, m.company_id, c.name, t.id AS tenant_id, t.display_name, t.last_error
         FROM mappings m
         JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
         JOIN tenants t ON t.partner_id = m.partner_id AND t.id = m.tenant_id
         JOIN credentials k ON k.partner_id = m.partner_id AND k.id = m.credential_id
         WHERE m.partner_id = $1 AND m.deleted_at IS NULL AND t.state = 'disconnected'
            AND k.revoked_at IS NULL",
        vec![scope.partner().into()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let mapping: MappingId = row.try_get("", "id")?;
            let company: CompanyId = row.try_get("", "company_id")?;
            let tenant: TenantId = row.try_get("", "tenant_id")?;
            let (name, called): (String, String) =
                (row.try_get("", "name")?, row.try_get("", "display_name")?);
            let said: Option<String> = row.try_get("", "last_error")?;
            Ok(Cause {
                subject: mapping.to_string(),
                company: Some(company),
                severity: Severity::Critical,
                stage: String::new(),
                title: format!("{name}: consent is lost"),
                text: format!(
                    "{called} does not let the application in any more. {} Its data stays readable and \
                     is not refreshed. Send the customer's administrator a consent link.",
                    said.unwrap_or_default()
                ),
                link: format!("/settings/integrations/entra/tenants/{tenant}"),
            })
        })
        .collect()
}
