//! Somebody tries passwords of a member: more attempts in a quarter of an hour than are let through.

use super::Cause;
use crate::{MemberId, Result, Scope, Severity, db::query_all, sign_in};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let over = sign_in::paused_accounts(scope.db()).await?;
    if over.is_empty() {
        return Ok(vec![]);
    }
    let rows = query_all(
        &scope.conn(),
        "SELECT p.id, p.email FROM memberships s JOIN members p ON p.id = s.member_id
         WHERE s.partner_id = $1 AND s.removed_at IS NULL",
        vec![scope.partner().into()],
    )
    .await?;
    let mut causes = Vec::new();
    for row in &rows {
        let email: String = row.try_get("", "email")?;
        let Some(attempts) = over.get(&sign_in::account_subject(&email)) else {
            continue;
        };
        let id: MemberId = row.try_get("", "id")?;
        // The number goes up by thousands in an attack, and each would be another text.
        let more = if *attempts >= 100 {
            "more than a hundred"
        } else {
            "more than ten"
        };
        causes.push(Cause {
            subject: id.to_string(),
            company: None,
            severity: Severity::Critical,
            stage: String::new(),
            title: format!("{email}: somebody tries passwords"),
            text: format!(
                "There were {more} attempts to sign in within a quarter of an hour, and the password is \
                 not looked at until that is over. A passkey signs in meanwhile. If it was not the \
                 member, a second factor and a passkey keep the account safe."
            ),
            link: "/settings/audit".into(),
        });
    }
    Ok(causes)
}
