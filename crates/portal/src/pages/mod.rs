//! The pages: one file per noun, its view structs beside its handlers.

pub(crate) mod account;
pub(crate) mod alerts;
pub(crate) mod api_reference;
pub(crate) mod assessments;
pub(crate) mod audit;
pub(crate) mod authenticator_app;
pub(crate) mod authorisations;
pub(crate) mod bulk_runs;
pub(crate) mod channels;
pub(crate) mod companies;
pub(crate) mod company_import;
pub(crate) mod connection_tests;
pub(crate) mod consent_links;
pub(crate) mod consents;
pub(crate) mod contact_form;
pub(crate) mod credential_form;
pub(crate) mod credential_mail;
pub(crate) mod credential_secrets;
pub(crate) mod credentials;
pub(crate) mod dashboard;
pub(crate) mod discoveries;
pub(crate) mod evidence;
pub(crate) mod groups;
pub(crate) mod intakes;
pub(crate) mod invitations;
pub(crate) mod mapping_import;
pub(crate) mod mapping_match;
pub(crate) mod mappings;
pub(crate) mod members;
pub(crate) mod objects;
pub(crate) mod organisation;
pub(crate) mod passkeys;
pub(crate) mod proofs;
pub(crate) mod reports;
pub(crate) mod run_events;
pub(crate) mod run_list;
pub(crate) mod runs;
pub(crate) mod second_factor;
pub(crate) mod secure_score;
pub(crate) mod setup;
pub(crate) mod sign_in;
pub(crate) mod sign_in_providers;
pub(crate) mod single_sign_on;
pub(crate) mod tenants;
pub(crate) mod users;

use model::FieldError;

/// The message of a field, for the form that shows it.
fn error_of<'a>(errors: &'a [FieldError], field: &str) -> Option<&'a str> {
    errors
        .iter()
        .find(|e| e.field == field)
        .map(|e| e.message.as_str())
}
