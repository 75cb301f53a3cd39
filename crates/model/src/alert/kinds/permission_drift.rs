//! What a tenant grants is not what is needed: something is missing, or there is more than that.

use super::{Cause, Needed};
use crate::{CompanyId, DirectoryId, Feature, Result, Scope, Severity, TenantId, db::query_all};

pub(super) async fn find(scope: &Scope, needed: Needed) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT t.id, t.display_name, t.directory_id, t.granted_permissions, k.features,
            k.directory_id AS home, m.company_id
         FROM tenants t
         JOIN credentials k ON k.partner_id = t.partner_id AND k.id = t.credential_id
         LEFT JOIN mappings m ON m.partner_id = t.partner_id AND m.tenant_id = t.id
            AND m.deleted_at IS NULL
         WHERE t.partner_id = $1 AND t.state = 'consented' AND k.revoked_at IS NULL
            AND t.granted_permissions IS NOT NULL",
        vec![scope.partner().into()],
    )
    .await?;
    let mut causes = Vec::new();
    for row in &rows {
        let features: String = row.try_get("", "features")?;
        let features: Vec<Feature> = serde_json::from_str(&features).unwrap_or_default();
        let granted: String = row.try_get("", "granted_permissions")?;
        let granted: Vec<String> = serde_json::from_str(&granted).unwrap_or_default();
        let home: DirectoryId = row.try_get("", "home")?;
        let directory: DirectoryId = row.try_get("", "directory_id")?;
        // What is used at home alone is not missing elsewhere, and no surprise there either.
        let at_home = needed(&features, true);
        let wanted = needed(&features, home == directory);
        let missing: Vec<&str> = of_the_first(&wanted, &granted);
        let unexpected: Vec<&str> = of_the_first(&granted, &at_home);
        if missing.is_empty() && unexpected.is_empty() {
            continue;
        }
        let tenant: TenantId = row.try_get("", "id")?;
        let company: Option<CompanyId> = row.try_get("", "company_id")?;
        let mut text = String::new();
        if !missing.is_empty() {
            text.push_str(&format!(
                "Needed and not granted: {}. What they are for is not read. ",
                missing.join(", ")
            ));
        }
        if !unexpected.is_empty() {
            text.push_str(&format!(
                "Granted and not needed: {}. Have them taken away in Entra, or find out who granted them. ",
                unexpected.join(", ")
            ));
        }
        causes.push(Cause {
            subject: tenant.to_string(),
            company,
            severity: Severity::Warning,
            stage: format!("{}/{}", missing.join(","), unexpected.join(",")),
            title: format!(
                "{}: permissions differ",
                row.try_get::<String>("", "display_name")?
            ),
            text: text.trim_end().to_owned(),
            link: format!("/settings/integrations/entra/tenants/{tenant}"),
        });
    }
    Ok(causes)
}

/// What is in the first list alone.
fn of_the_first<'a>(first: &'a [String], second: &[String]) -> Vec<&'a str> {
    let mut only: Vec<&str> = first
        .iter()
        .filter(|name| !second.contains(name))
        .map(String::as_str)
        .collect();
    only.sort_unstable();
    only
}
