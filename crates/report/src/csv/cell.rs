//! What a cell may hold.

use std::borrow::Cow;

/// A cell that no spreadsheet takes for a formula: those that begin with `=`, `+`, `-`, `@`, a tab,
/// a carriage return or a NUL get an apostrophe before them (source: OWASP, CSV injection).
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
