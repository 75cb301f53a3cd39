//! Microsoft says that a user is at risk, at a medium or high level, or that an account is taken over.

use super::{Cause, SEEN};
use crate::{CompanyId, MappingId, Result, Scope, Severity, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT t.id, t.mapping_id, t.display_name, t.user_principal_name, t.risk_level,
                t.risk_state, m.company_id, c.name AS company
             FROM risky_users t {SEEN}
             WHERE t.partner_id = $1 AND (t.risk_state = 'confirmedCompromised'
                OR (t.risk_state = 'atRisk' AND t.risk_level IN ('medium', 'high')))"
        ),
        vec![scope.partner().into()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let mapping: MappingId = row.try_get("", "mapping_id")?;
            let company: CompanyId = row.try_get("", "company_id")?;
            let id: String = row.try_get("", "id")?;
            let text = |name| row.try_get::<Option<String>>("", name);
            let called = text("user_principal_name")?
                .or(text("display_name")?)
                .unwrap_or_else(|| id.clone());
            let level = text("risk_level")?.unwrap_or_else(|| "unknown".into());
            let is_taken = text("risk_state")?.as_deref() == Some("confirmedCompromised");
            let severity = match is_taken || level == "high" {
                true => Severity::Critical,
                false => Severity::Warning,
            };
            let what = match is_taken {
                true => "The account is confirmed as compromised.".to_owned(),
                false => format!("Microsoft gives the risk level {level}."),
            };
            Ok(Cause {
                subject: format!("{mapping}/{id}"),
                company: Some(company),
                severity,
                stage: level,
                title: format!("{}: {called} is at risk", row.try_get::<String>("", "company")?),
                text: format!("{what} Look at the detections, reset the password and end the sessions, or dismiss the risk in Entra."),
                link: format!("/companies/{company}/directory/risky-users/{id}"),
            })
        })
        .collect()
}
