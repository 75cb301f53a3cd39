//! CSV with stable headers, safe to open in a spreadsheet: names come from customers' directories
//! and may be formulas.

use std::borrow::Cow;

use csv::{Error, Writer};
use model::directory::UserWithMfa;

/// A cell that no spreadsheet takes for a formula: those that begin with `=`, `+`, `-`, `@`, a tab
/// or a carriage return get an apostrophe before them (source: OWASP, CSV injection).
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
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
