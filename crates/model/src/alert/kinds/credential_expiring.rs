//! A secret or certificate of the partner's own registration ends soon, or has ended.

use super::{Cause, days, stage};
use crate::{CredentialId, Result, Scope, Severity, Timestamp, db::query_all};

/// `(expiring, expired)`.
pub(super) async fn find(scope: &Scope) -> Result<(Vec<Cause>, Vec<Cause>)> {
    let now = scope.now();
    let rows = query_all(
        &scope.conn(),
        "SELECT id, name, secret_expires_at FROM credentials
         WHERE partner_id = $1 AND revoked_at IS NULL AND secret_expires_at IS NOT NULL
            AND secret_expires_at <= $2",
        vec![
            scope.partner().into(),
            now.plus_minutes(61 * 24 * 60).into(),
        ],
    )
    .await?;
    let (mut expiring, mut expired) = (Vec::new(), Vec::new());
    for row in &rows {
        let id: CredentialId = row.try_get("", "id")?;
        let name: String = row.try_get("", "name")?;
        let end: Timestamp = row.try_get("", "secret_expires_at")?;
        let link = format!("/settings/integrations/entra/credentials/{id}");
        let cause = |severity, stage: String, title: String, text: String| Cause {
            subject: id.to_string(),
            company: None,
            severity,
            stage,
            title,
            text,
            link: link.clone(),
        };
        if end <= now {
            expired.push(cause(
                Severity::Critical,
                String::new(),
                format!("{name}: its secret has ended"),
                format!(
                    "It ended on {}. No customer of this credential can be synced. Renew it now.",
                    end.day()
                ),
            ));
        } else if let Some((stage, severity, left)) = stage(end, now) {
            expiring.push(cause(
                severity,
                stage.to_string(),
                format!("{name}: its secret ends within {}", days(stage)),
                format!(
                    "It ends on {}, in {}. Make a new one in Entra and renew the credential; the old one \
                     goes on until then.",
                    end.day(),
                    days(left)
                ),
            ));
        }
    }
    Ok((expiring, expired))
}
