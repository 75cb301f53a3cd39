//! A secret or certificate of a customer's application ends within sixty days, or ended in the last
//! thirty while the application has none other.

use super::{Cause, DAY_MS, SEEN, days, stage};
use crate::{CompanyId, MappingId, Result, Scope, Severity, Timestamp, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let now = scope.now();
    let rows = query_all(
        &scope.conn(),
        &format!(
            "SELECT t.id, t.mapping_id, t.application_id, t.kind, t.ends_at, m.company_id,
                c.name AS company, a.display_name AS application,
                EXISTS (SELECT 1 FROM application_credentials o WHERE o.partner_id = t.partner_id
                    AND o.mapping_id = t.mapping_id AND o.application_id = t.application_id
                    AND o.since <= s.published AND o.until > s.published
                    AND o.id <> t.id AND (o.ends_at IS NULL OR o.ends_at > $3)) AS has_other
             FROM application_credentials t {SEEN}
             JOIN applications a ON a.partner_id = t.partner_id AND a.mapping_id = t.mapping_id
                AND a.id = t.application_id AND a.since <= s.published AND a.until > s.published
             WHERE t.partner_id = $1 AND t.ends_at > $2 AND t.ends_at <= $4"
        ),
        vec![
            scope.partner().into(),
            now.plus_ms(-30 * DAY_MS).into(),
            now.into(),
            now.plus_ms(60 * DAY_MS).into(),
        ],
    )
    .await?;
    let mut causes = Vec::new();
    for row in &rows {
        let end: Timestamp = row.try_get("", "ends_at")?;
        let has_other: bool = row.try_get("", "has_other")?;
        let mapping: MappingId = row.try_get("", "mapping_id")?;
        let company: CompanyId = row.try_get("", "company_id")?;
        let (id, application): (String, String) =
            (row.try_get("", "id")?, row.try_get("", "application_id")?);
        let (name, called): (String, String) =
            (row.try_get("", "company")?, row.try_get("", "application")?);
        let what = match row.try_get::<String>("", "kind")?.as_str() {
            "certificate" => "certificate",
            _ => "secret",
        };
        let (severity, stage, title, text) = match stage(end, now) {
            Some((stage, severity, left)) => (
                severity,
                stage.to_string(),
                format!("{name}: a {what} of {called} ends within {}", days(stage)),
                format!(
                    "It ends on {}, in {}. Whatever uses it stops then.",
                    end.day(),
                    days(left)
                ),
            ),
            None if !has_other => (
                Severity::Critical,
                "ended".to_owned(),
                format!("{name}: the {what} of {called} has ended"),
                format!(
                    "It ended on {}, and the application has no other one.",
                    end.day()
                ),
            ),
            None => continue,
        };
        causes.push(Cause {
            subject: format!("{mapping}/{application}/{id}"),
            company: Some(company),
            severity,
            stage,
            title,
            text,
            link: format!("/companies/{company}/directory/app-registrations/{application}"),
        });
    }
    Ok(causes)
}
