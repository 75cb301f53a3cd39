//! What a cell may hold.

use std::borrow::Cow;

/// A cell that no spreadsheet takes for a formula: those that begin with `=`, `+`, `-`, `@`, a tab,
/// a carriage return or a NUL get an apostrophe before them (source: OWASP, CSV injection).
pub fn cell(text: &str) -> Cow<'_, str> {
    // Also before those that begin with one already: who takes one away has what was there.
    let inner = text.trim_start_matches('\'');
    if inner.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}
