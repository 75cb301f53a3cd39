//! Microsoft refuses a credential of the partner.

use super::Cause;
use crate::{CredentialId, Result, Scope, Severity, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT id, name, last_error FROM credentials
         WHERE partner_id = $1 AND revoked_at IS NULL AND state = 'failing'",
        vec![scope.partner().into()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let id: CredentialId = row.try_get("", "id")?;
            let said: Option<String> = row.try_get("", "last_error")?;
            Ok(Cause {
                subject: id.to_string(),
                company: None,
                severity: Severity::Critical,
                stage: String::new(),
                title: format!(
                    "{}: Microsoft refuses it",
                    row.try_get::<String>("", "name")?
                ),
                text: format!(
                    "{} No customer of this credential can be synced until it is renewed.",
                    said.unwrap_or_default()
                )
                .trim_start()
                .to_owned(),
                link: format!("/settings/integrations/entra/credentials/{id}"),
            })
        })
        .collect()
}
