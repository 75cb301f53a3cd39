//! The pages: one file per noun, its view structs beside its handlers.

pub(crate) mod companies;
pub(crate) mod consents;
pub(crate) mod credentials;
pub(crate) mod dashboard;
pub(crate) mod groups;
pub(crate) mod invitations;
pub(crate) mod mapping_import;
pub(crate) mod mapping_match;
pub(crate) mod mappings;
pub(crate) mod run_events;
pub(crate) mod runs;
pub(crate) mod secure_score;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod users;

use model::FieldError;

/// The message of a field, for the form that shows it.
fn error_of<'a>(errors: &'a [FieldError], field: &str) -> Option<&'a str> {
    errors
        .iter()
        .find(|e| e.field == field)
        .map(|e| e.message.as_str())
}
