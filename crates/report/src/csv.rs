//! CSV with stable headers, safe to open in a spreadsheet: names come from customers' directories
//! and may be formulas.

use csv::{Error, Writer};
use model::{AuditRow, directory::UserWithMfa};

mod cell;

pub use cell::cell;

/// Headers of [`audit`].
pub const AUDIT_HEADERS: &[&str] = &[
    "number",
    "at",
    "actor_kind",
    "actor",
    "address",
    "action",
    "target_kind",
    "target_id",
    "target",
    "detail",
    "hash",
];

/// Rows of the audit log, one line each, in the order given. `with_headers` for the first part of a
/// longer file.
///
/// # Errors
/// Never for rows in memory; the writer's signature has one.
pub fn audit(rows: &[AuditRow], with_headers: bool) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::from_writer(Vec::new());
    if with_headers {
        writer.write_record(AUDIT_HEADERS)?;
    }
    for row in rows {
        let (number, at) = (row.seq.to_string(), row.at.rfc3339());
        let texts = [
            number.as_str(),
            &at,
            &row.actor_kind,
            &row.actor_name,
            &row.address,
            &row.action,
            &row.target_kind,
            &row.target_id,
            &row.target_name,
            &row.detail,
            &row.hash,
        ];
        writer.write_record(texts.map(|text| cell(text).into_owned()))?;
    }
    writer.into_inner().map_err(|e| Error::from(e.into_error()))
}

/// Headers of [`users`].
pub const USER_HEADERS: &[&str] = &[
    "id",
    "display_name",
    "user_principal_name",
    "mail",
    "user_type",
    "account_enabled",
    "licensed",
    "mfa_registered",
    "mfa_methods",
    "is_admin",
    "job_title",
    "department",
    "office_location",
    "company_name",
    "employee_id",
    "employee_type",
    "usage_location",
    "account_created_at",
    "last_password_change_at",
];

/// Users, one line each, in the order given; unknown is an empty cell. `with_headers` for the first
/// part of a longer file.
///
/// # Errors
/// Never for rows in memory; the writer's signature has one.
pub fn users(rows: &[UserWithMfa], with_headers: bool) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::from_writer(Vec::new());
    if with_headers {
        writer.write_record(USER_HEADERS)?;
    }
    let flag = |b: Option<bool>| {
        b.map_or("", |b| if b { "true" } else { "false" })
            .to_owned()
    };
    for row in rows {
        let user = &row.user;
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        let time =
            |t: Option<model::Timestamp>| t.map(model::Timestamp::rfc3339).unwrap_or_default();
        let cells = [
            user.id.clone(),
            user.display_name.clone(),
            user.user_principal_name.clone(),
            text(&user.mail),
            text(&user.user_type),
            flag(user.account_enabled),
            flag(user.licensed),
            flag(row.mfa_registered),
            row.methods.join(" "),
            flag(row.is_admin),
            text(&user.job_title),
            text(&user.department),
            text(&user.office_location),
            text(&user.company_name),
            text(&user.employee_id),
            text(&user.employee_type),
            text(&user.usage_location),
            time(user.account_created_at),
            time(user.last_password_change_at),
        ];
        writer.write_record(cells.iter().map(|c| cell(c).into_owned()))?;
    }
    writer.into_inner().map_err(|e| e.into_error().into())
}

/// Companies of a CSV with a header: the number of the line and what it says. The columns are found
/// by name, in any order: `name` (or `company`, `company name`), `domain`, `external id` (or
/// `external_id`, `psa id`); commas, semicolons and tabs separate.
///
/// # Errors
/// In words: no header, no column for the name, no line, a line that cannot be read.
pub fn companies(text: &str) -> Result<Vec<(u64, model::company::Draft)>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.matches('"').count() % 2 == 1 {
        return Err("A quotation mark is opened and not closed. Look for a single \".".into());
    }
    // Browsers send pasted lines with another ending: lines are counted alike.
    let text = &text.replace("\r\n", "\n");
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b';', b'\t', b',']
        .into_iter()
        .find(|d| header.as_bytes().contains(d))
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let headers = reader
        .headers()
        .map_err(|e| format!("The first line cannot be read: {e}."))?
        .clone();
    let column = |names: &[&str]| {
        headers.iter().position(|h| {
            let h = h.to_lowercase().replace(['_', '-'], " ");
            names.contains(&h.as_str())
        })
    };
    let Some(name) = column(&["name", "company", "company name"]) else {
        return Err(
            "No column is headed \"name\". The first line names the columns: name, domain, external id."
                .into(),
        );
    };
    let domain = column(&["domain", "website"]);
    let external_id = column(&["external id", "psa id", "id"]);
    let mut companies = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| format!("A line cannot be read: {e}."))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: Option<usize>| {
            column
                .and_then(|c| record.get(c))
                .unwrap_or_default()
                .to_owned()
        };
        if record.iter().all(str::is_empty) {
            continue;
        }
        companies.push((
            line,
            model::company::Draft {
                name: cell(Some(name)),
                domain: cell(domain),
                external_id: cell(external_id),
            },
        ));
    }
    if companies.is_empty() {
        return Err("No line follows the header.".into());
    }
    Ok(companies)
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn formulas_become_text() {
        for bad in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert!(cell(bad).starts_with('\''), "{bad:?}");
        }
        assert_eq!(cell("Åse = 1"), "Åse = 1");
    }
}
