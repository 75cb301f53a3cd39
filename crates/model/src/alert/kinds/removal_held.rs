//! A collection fell by more than a fifth, and nobody has confirmed that it is so.

use super::Cause;
use crate::{CompanyId, MappingId, Result, Scope, Severity, db::query_all};

pub(super) async fn find(scope: &Scope) -> Result<Vec<Cause>> {
    let rows = query_all(
        &scope.conn(),
        "SELECT h.mapping_id, h.name, h.held_missing, h.held_known, m.company_id, c.name AS company
         FROM collections h
         JOIN mappings m ON m.partner_id = h.partner_id AND m.id = h.mapping_id
         JOIN companies c ON c.partner_id = m.partner_id AND c.id = m.company_id
         WHERE h.partner_id = $1 AND h.held_at IS NOT NULL AND h.confirmed_at IS NULL
            AND m.deleted_at IS NULL",
        vec![scope.partner().into()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let mapping: MappingId = row.try_get("", "mapping_id")?;
            let company: CompanyId = row.try_get("", "company_id")?;
            let collection: String = row.try_get("", "name")?;
            let (missing, known): (i64, i64) =
                (row.try_get("", "held_missing")?, row.try_get("", "held_known")?);
            Ok(Cause {
                subject: format!("{mapping}/{collection}"),
                company: Some(company),
                severity: Severity::Warning,
                stage: String::new(),
                title: format!(
                    "{}: {missing} of {known} {} are missing",
                    row.try_get::<String>("", "company")?,
                    collection.replace('_', " ")
                ),
                text: "So many at once are more likely a fault than a fact, so none was removed. Confirm it \
                       on the company's page if they are really gone."
                    .into(),
                link: format!("/companies/{company}"),
            })
        })
        .collect()
}
