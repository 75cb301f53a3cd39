//! Every route, its handler and the least role that it needs. The guard refuses what is not allowed
//! before a handler runs; a test drives each row as a stranger and as another partner.

use std::sync::LazyLock;

use actix_web::{dev::ResourceDef, http::Method, web};
use model::Role;

use crate::{api, assets, pages};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// A signed-in member of at least this role.
    Page(Role),
    /// The same, who has proved within the last minutes who they are.
    Proved(Role),
    /// A bearer token of at least this role.
    Api(Role),
}

macro_rules! routes {
    ($($method:ident $path:literal $access:expr, $handler:path;)+) => {
        /// All routes.
        pub static TABLE: &[(&str, &str, Access)] = &[$((stringify!($method), $path, $access)),+];

        pub(crate) fn configure(config: &mut web::ServiceConfig) {
            $(config.route($path, web::$method().to($handler));)+
        }
    };
}

use Access::{Api, Page, Proved, Public};
use Role::{Admin, Auditor, Owner, Technician, Viewer};

routes! {
    get "/static/{path:.*}" Public, assets::get;
    get "/healthz" Public, api::healthz;
    get "/setup" Public, pages::setup::new;
    post "/setup" Public, pages::setup::create;
    get "/sign-in" Public, pages::sign_in::new;
    post "/sign-in" Public, pages::sign_in::create;
    get "/sign-in/second-factor" Public, pages::second_factor::new;
    post "/sign-in/second-factor" Public, pages::second_factor::create;
    post "/sign-in/second-factor/passkey" Public, pages::second_factor::with_passkey;
    get "/sign-in/passkey" Public, pages::passkeys::show;
    post "/sign-in/passkey" Public, pages::passkeys::sign_in;
    get "/sign-in/callback/{provider}" Public, pages::single_sign_on::callback;
    get "/sign-in/providers/{provider}" Public, pages::single_sign_on::begin;
    post "/sign-out" Page(Viewer), pages::sign_in::delete;
    get "/invitations/{token}" Public, pages::invitations::show;
    post "/invitations/{token}" Public, pages::invitations::accept;
    get "/invitations/{token}/providers/{provider}" Public, pages::single_sign_on::accept;

    get "/prove" Page(Viewer), pages::proofs::new;
    post "/prove" Page(Viewer), pages::proofs::create;
    post "/prove/passkey" Page(Viewer), pages::proofs::with_passkey;
    get "/prove/provider" Page(Viewer), pages::single_sign_on::prove;
    get "/account" Page(Viewer), pages::account::show;
    post "/account/password" Proved(Viewer), pages::account::change_password;
    post "/account/organisation" Page(Viewer), pages::account::switch;
    get "/account/authenticator-app" Proved(Viewer), pages::authenticator_app::new;
    post "/account/authenticator-app" Proved(Viewer), pages::authenticator_app::create;
    post "/account/authenticator-app/remove" Proved(Viewer), pages::authenticator_app::delete;
    post "/account/recovery-codes" Proved(Viewer), pages::account::renew_codes;
    get "/account/passkeys/new" Proved(Viewer), pages::passkeys::new;
    post "/account/passkeys" Proved(Viewer), pages::passkeys::create;
    post "/account/passkeys/{own}/remove" Proved(Viewer), pages::passkeys::delete;
    post "/account/sessions/{own}/end" Proved(Viewer), pages::account::revoke_session;
    post "/account/sessions/end" Proved(Viewer), pages::account::revoke_sessions;
    post "/account/tokens" Proved(Viewer), pages::account::create_token;
    post "/account/tokens/{own}/revoke" Page(Viewer), pages::account::revoke_token;
    post "/account/providers/{own}/link" Proved(Viewer), pages::single_sign_on::link;
    post "/account/providers/{own}/unlink" Proved(Viewer), pages::single_sign_on::unlink;

    get "/settings/members" Page(Auditor), pages::members::index;
    get "/settings/members.csv" Proved(Auditor), pages::members::csv;
    get "/settings/members/new" Proved(Owner), pages::members::new;
    post "/settings/members" Proved(Owner), pages::members::create;
    get "/settings/members/{id}" Proved(Owner), pages::members::edit;
    post "/settings/members/{id}" Proved(Owner), pages::members::update;
    post "/settings/members/{id}/remove" Proved(Owner), pages::members::delete;
    post "/settings/second-factor" Proved(Owner), pages::members::require_factor;
    post "/settings/invitations/{id}/withdraw" Page(Owner), pages::members::withdraw;
    get "/settings/audit" Page(Auditor), pages::audit::index;
    get "/settings/audit.csv" Proved(Auditor), pages::audit::csv;
    get "/settings/audit.ndjson" Proved(Auditor), pages::audit::ndjson;
    get "/settings/audit-checkpoints.ndjson" Page(Auditor), pages::audit::checkpoints;
    get "/settings/sign-in" Page(Auditor), pages::sign_in_providers::index;
    get "/settings/sign-in/new" Proved(Owner), pages::sign_in_providers::new;
    post "/settings/sign-in" Proved(Owner), pages::sign_in_providers::create;
    post "/settings/sign-in/{id}/remove" Proved(Owner), pages::sign_in_providers::delete;

    get "/" Page(Viewer), pages::dashboard::show;

    get "/companies" Page(Viewer), pages::companies::index;
    get "/companies.csv" Proved(Viewer), pages::companies::csv;
    get "/companies/new" Page(Admin), pages::companies::new;
    post "/companies" Page(Admin), pages::companies::create;
    get "/companies/import" Page(Admin), pages::company_import::new;
    post "/companies/import" Page(Admin), pages::company_import::create;
    get "/companies/{id}" Page(Viewer), pages::companies::show;
    post "/companies/{id}/archive" Page(Admin), pages::companies::archive;
    get "/companies/{id}/edit" Page(Admin), pages::companies::edit;
    post "/companies/{id}" Page(Admin), pages::companies::update;
    post "/companies/{id}/runs" Page(Technician), pages::runs::create;
    get "/companies/{id}/users" Page(Viewer), pages::users::index;
    get "/companies/{id}/users.csv" Proved(Viewer), pages::users::csv;
    get "/companies/{id}/users/{object}" Page(Viewer), pages::users::show;
    get "/companies/{id}/ocsf-events.ndjson" Proved(Viewer), pages::intakes::of_company;
    get "/companies/{id}/groups.csv" Proved(Viewer), pages::groups::csv;
    get "/companies/{id}/groups/{object}/members.csv" Proved(Viewer), pages::groups::members_csv;
    get "/companies/{id}/directory.csv" Proved(Viewer), pages::objects::csv;
    get "/companies/{id}/secure-score-controls.csv" Proved(Viewer), pages::secure_score::controls_csv;
    get "/companies/{id}/secure-scores.csv" Proved(Viewer), pages::secure_score::days_csv;
    get "/companies/{id}/evidence.csv" Proved(Viewer), pages::evidence::csv;
    get "/companies/{id}/groups" Page(Viewer), pages::groups::index;
    get "/companies/{id}/groups/{object}" Page(Viewer), pages::groups::show;
    get "/companies/{id}/directory/{section}" Page(Viewer), pages::objects::index;
    get "/companies/{id}/directory/{section}/{object}" Page(Viewer), pages::objects::show;
    post "/companies/{id}/confirmations" Page(Technician), pages::companies::confirm;
    get "/companies/{id}/secure-score" Page(Viewer), pages::secure_score::show;
    get "/companies/{id}/secure-score/{control}" Page(Viewer), pages::secure_score::control;

    get "/companies/{id}/evidence" Page(Viewer), pages::evidence::company;
    get "/companies/{id}/evidence/{object}" Page(Viewer), pages::evidence::show;
    get "/companies/{id}/evidence/{object}/content.json" Proved(Viewer), pages::evidence::content;
    get "/companies/{id}/reports" Page(Viewer), pages::reports::index;
    post "/companies/{id}/reports/schedules" Page(Technician), pages::reports::schedule;
    post "/companies/{id}/reports/schedules/{object}/remove" Page(Technician), pages::reports::unschedule;
    get "/companies/{id}/reports/{month}" Page(Viewer), pages::reports::show;
    get "/companies/{id}/reports/{month}/report.pdf" Proved(Viewer), pages::reports::pdf;

    get "/alerts" Page(Viewer), pages::alerts::index;
    post "/alerts" Page(Technician), pages::alerts::handle_many;
    get "/alerts.csv" Proved(Viewer), pages::alerts::csv;
    get "/alerts/{id}" Page(Viewer), pages::alerts::show;
    post "/alerts/{id}" Page(Technician), pages::alerts::handle;

    get "/evidence" Page(Viewer), pages::evidence::index;
    get "/assessments" Page(Auditor), pages::assessments::index;
    get "/assessments.csv" Proved(Auditor), pages::assessments::csv;
    get "/assessments/new" Page(Auditor), pages::assessments::new;
    post "/assessments" Page(Auditor), pages::assessments::create;
    get "/assessments/{id}" Page(Auditor), pages::assessments::show;
    post "/assessments/{id}/evidence" Page(Auditor), pages::assessments::attach;
    post "/assessments/{id}/evidence/remove" Page(Auditor), pages::assessments::detach;
    post "/assessments/{id}/approve" Proved(Auditor), pages::assessments::approve;
    post "/assessments/{id}/delete" Page(Auditor), pages::assessments::delete;
    get "/assessments/{id}/archive.zip" Proved(Auditor), pages::assessments::archive;

    get "/jobs" Page(Viewer), pages::run_list::index;
    get "/jobs.csv" Proved(Viewer), pages::run_list::csv;
    post "/jobs" Page(Technician), pages::bulk_runs::create;
    get "/jobs/{id}" Page(Viewer), pages::runs::show;
    get "/jobs/{id}/events" Page(Viewer), pages::run_events::stream;
    post "/jobs/{id}/cancel" Page(Technician), pages::runs::cancel;
    post "/jobs/{id}/retry" Page(Technician), pages::runs::retry;

    get "/settings/notifications" Page(Auditor), pages::channels::index;
    get "/settings/notifications/new" Proved(Admin), pages::channels::new;
    post "/settings/notifications" Proved(Admin), pages::channels::create;
    get "/settings/notifications/{id}" Page(Auditor), pages::channels::show;
    post "/settings/notifications/{id}" Page(Admin), pages::channels::update;
    get "/settings/notifications/{id}/deliveries.csv" Proved(Auditor), pages::channels::csv;
    post "/settings/notifications/{id}/tests" Page(Admin), pages::channels::test;
    post "/settings/notifications/{id}/remove" Page(Admin), pages::channels::remove;
    post "/settings/notifications/{id}/deliveries/{object}/resend" Page(Admin), pages::channels::resend;

    get "/developers/api" Page(Viewer), pages::api_reference::show;
    get "/settings/exports" Page(Auditor), pages::intakes::index;
    get "/settings/exports/events.ndjson" Proved(Auditor), pages::intakes::of_all;
    get "/settings/exports/new" Proved(Admin), pages::intakes::new;
    post "/settings/exports" Proved(Admin), pages::intakes::create;
    get "/settings/exports/{id}" Page(Auditor), pages::intakes::show;
    post "/settings/exports/{id}/pause" Page(Admin), pages::intakes::pause;
    post "/settings/exports/{id}/resume" Page(Admin), pages::intakes::resume;
    post "/settings/exports/{id}/full-passes" Page(Admin), pages::intakes::send_again;
    post "/settings/exports/{id}/remove" Page(Admin), pages::intakes::remove;

    get "/contact/{token}" Public, pages::contact_form::show;
    post "/contact/{token}" Public, pages::contact_form::send;
    get "/settings/contact-form" Page(Auditor), pages::contact_form::edit;
    post "/settings/contact-form" Page(Admin), pages::contact_form::update;

    get "/settings/organisation/logo" Page(Viewer), pages::organisation::logo;
    post "/settings/organisation/brand" Page(Admin), pages::organisation::set_brand;
    get "/settings/organisation" Page(Admin), pages::organisation::edit;
    post "/settings/organisation" Page(Admin), pages::organisation::update;
    get "/settings/integrations" Page(Viewer), pages::credentials::integrations;
    get "/settings/integrations/entra" Page(Viewer), pages::credentials::index;
    get "/settings/integrations/entra/credentials.csv" Proved(Viewer), pages::credentials::csv;
    get "/settings/integrations/entra/credentials/new" Proved(Admin), pages::credential_form::new;
    post "/settings/integrations/entra/credentials" Proved(Admin), pages::credential_form::create;
    get "/settings/integrations/entra/credentials/{id}" Page(Viewer), pages::credentials::show;
    get "/settings/integrations/entra/credentials/{id}/edit" Proved(Admin), pages::credential_form::edit;
    post "/settings/integrations/entra/credentials/{id}" Proved(Admin), pages::credential_form::update;
    post "/settings/integrations/entra/credentials/{id}/revoke" Page(Admin), pages::credentials::revoke;
    post "/settings/integrations/entra/credentials/{id}/delete" Proved(Owner), pages::credentials::delete;
    post "/settings/integrations/entra/credentials/{id}/consent" Proved(Admin), pages::consents::create;
    get "/settings/integrations/entra/credentials/{id}/secrets/new" Proved(Admin), pages::credential_secrets::new;
    post "/settings/integrations/entra/credentials/{id}/secrets" Proved(Admin), pages::credential_secrets::create;
    post "/settings/integrations/entra/credentials/{id}/secrets/{object}/use" Proved(Admin), pages::credential_secrets::promote;
    post "/settings/integrations/entra/credentials/{id}/secrets/{object}/remove" Proved(Admin), pages::credential_secrets::remove;
    get "/settings/integrations/entra/credentials/{id}/secrets/{object}/certificate.cer" Page(Viewer), pages::credential_secrets::certificate;
    post "/settings/integrations/entra/credentials/{id}/mail" Page(Admin), pages::credential_mail::save;
    post "/settings/integrations/entra/credentials/{id}/tests" Page(Admin), pages::connection_tests::create;
    get "/settings/integrations/entra/credentials/{id}/tests/{object}/events" Page(Viewer), pages::connection_tests::stream;
    post "/settings/integrations/entra/credentials/{id}/authorisations" Proved(Admin), pages::authorisations::create;
    post "/settings/integrations/entra/credentials/{id}/links" Proved(Admin), pages::consent_links::create;
    post "/settings/integrations/entra/credentials/{id}/links/{object}/withdraw" Page(Admin), pages::consent_links::withdraw;
    post "/settings/integrations/entra/credentials/{id}/discoveries" Page(Admin), pages::discoveries::create;
    get "/settings/integrations/entra/tenants" Page(Viewer), pages::tenants::index;
    get "/settings/integrations/entra/tenants.csv" Proved(Viewer), pages::tenants::csv;
    get "/settings/integrations/entra/tenants/{id}" Page(Viewer), pages::tenants::show;

    get "/consent/links/{token}" Public, pages::consent_links::show;
    post "/consent/links/{token}" Public, pages::consent_links::begin;
    get "/consent/callback" Public, pages::consents::callback;
    get "/consents/{id}" Page(Viewer), pages::consents::show;
    post "/consents/{id}/check" Page(Admin), pages::consents::check;

    get "/settings/integrations/entra/mappings" Page(Viewer), pages::mappings::index;
    get "/settings/integrations/entra/mappings.csv" Proved(Viewer), pages::mappings::csv;
    get "/settings/integrations/entra/mappings/new" Page(Admin), pages::mappings::new;
    get "/settings/integrations/entra/mappings/import" Page(Admin), pages::mapping_import::choose;
    post "/settings/integrations/entra/mappings/import/review" Page(Admin), pages::mapping_import::review;
    post "/settings/integrations/entra/mappings/import" Page(Admin), pages::mapping_import::save;
    get "/settings/integrations/entra/mappings/match" Page(Admin), pages::mapping_match::show;
    post "/settings/integrations/entra/mappings/match" Page(Admin), pages::mapping_match::save;
    post "/settings/integrations/entra/mappings/{id}/delete" Page(Admin), pages::mappings::delete;
    get "/settings/integrations/entra/mappings/{id}/remap" Page(Admin), pages::mappings::remap;
    post "/settings/integrations/entra/mappings/{id}/remap" Page(Admin), pages::mappings::save_remap;
    post "/settings/integrations/entra/mappings/{id}/interval" Page(Admin), pages::mappings::set_interval;
    post "/settings/integrations/entra/mappings/{id}/runs" Page(Technician), pages::mappings::sync;

    get "/api/v1/openapi.json" Public, api::openapi;
    get "/api/v1/credentials" Api(Viewer), api::credentials::list;
    post "/api/v1/credentials" Api(Admin), api::credentials::create;
    get "/api/v1/credentials/{id}" Api(Viewer), api::credentials::get;
    delete "/api/v1/credentials/{id}" Api(Owner), api::credentials::delete;
    post "/api/v1/credentials/{id}/revoke" Api(Admin), api::credentials::revoke;
    get "/api/v1/credentials/{id}/secrets" Api(Viewer), api::credential_secrets::list;
    post "/api/v1/credentials/{id}/secrets" Api(Admin), api::credential_secrets::create;
    post "/api/v1/credentials/{id}/secrets/{secret_id}/use" Api(Admin), api::credential_secrets::promote;
    post "/api/v1/credentials/{id}/tests" Api(Admin), api::connection_tests::create;
    post "/api/v1/credentials/{id}/discoveries" Api(Admin), api::discoveries::create;
    get "/api/v1/consent-links" Api(Viewer), api::consent_links::list;
    post "/api/v1/consent-links" Api(Admin), api::consent_links::create;
    delete "/api/v1/consent-links/{id}" Api(Admin), api::consent_links::delete;
    post "/api/v1/consent-requests" Api(Admin), api::consent_requests::create;
    get "/api/v1/consent-requests/{id}" Api(Viewer), api::consent_requests::get;
    get "/api/v1/tenants" Api(Viewer), api::tenants::list;
    get "/api/v1/tenants/{id}" Api(Viewer), api::tenants::get;
    get "/api/v1/companies" Api(Viewer), api::companies::list;
    post "/api/v1/companies" Api(Admin), api::companies::create;
    post "/api/v1/company-imports" Api(Admin), api::companies::import;
    get "/api/v1/companies/{id}" Api(Viewer), api::companies::get;
    patch "/api/v1/companies/{id}" Api(Admin), api::companies::update;
    get "/api/v1/companies/{id}/users" Api(Viewer), api::users::list;
    get "/api/v1/companies/{id}/groups" Api(Viewer), api::groups::list;
    get "/api/v1/companies/{id}/groups/{group_id}/members" Api(Viewer), api::groups::members;
    get "/api/v1/companies/{id}/directory/{section}" Api(Viewer), api::objects::list;
    get "/api/v1/companies/{id}/directory/{section}/{object_id}" Api(Viewer), api::objects::get;
    get "/api/v1/companies/{id}/holds" Api(Viewer), api::holds::list;
    post "/api/v1/mappings/{id}/confirmations" Api(Technician), api::holds::confirm;
    get "/api/v1/companies/{id}/secure-scores" Api(Viewer), api::secure_scores::list;
    get "/api/v1/companies/{id}/evidence" Api(Viewer), api::evidence::list;
    get "/api/v1/companies/{id}/coverage" Api(Viewer), api::evidence::coverage;
    get "/api/v1/companies/{id}/reports/{month}" Api(Viewer), api::reports::get;
    get "/api/v1/evidence/{id}" Api(Viewer), api::evidence::get;
    get "/api/v1/alerts" Api(Viewer), api::alerts::list;
    get "/api/v1/alerts/{id}" Api(Viewer), api::alerts::get;
    patch "/api/v1/alerts/{id}" Api(Technician), api::alerts::update;
    get "/api/v1/assessments" Api(Auditor), api::assessments::list;
    post "/api/v1/assessments" Api(Auditor), api::assessments::create;
    get "/api/v1/assessments/{id}" Api(Auditor), api::assessments::get;
    delete "/api/v1/assessments/{id}" Api(Auditor), api::assessments::delete;
    post "/api/v1/assessments/{id}/evidence" Api(Auditor), api::assessments::attach;
    post "/api/v1/assessments/{id}/approval" Api(Auditor), api::assessments::approve;
    get "/api/v1/assessments/{id}/archive" Api(Auditor), api::assessments::archive;
    get "/api/v1/channels" Api(Auditor), api::channels::list;
    post "/api/v1/channels" Api(Admin), api::channels::create;
    get "/api/v1/channels/{id}" Api(Auditor), api::channels::get;
    patch "/api/v1/channels/{id}" Api(Admin), api::channels::update;
    delete "/api/v1/channels/{id}" Api(Admin), api::channels::delete;
    get "/api/v1/channels/{id}/deliveries" Api(Auditor), api::channels::deliveries;
    post "/api/v1/channels/{id}/tests" Api(Admin), api::channels::test;
    get "/api/v1/companies/{id}/users/{user_id}" Api(Viewer), api::users::get;
    get "/api/v1/companies/{id}/groups/{group_id}" Api(Viewer), api::groups::get;
    get "/api/v1/companies/{id}/secure-score-controls" Api(Viewer), api::secure_scores::controls;
    delete "/api/v1/companies/{id}" Api(Admin), api::companies::delete;
    get "/api/v1/companies/{id}/report-schedules" Api(Viewer), api::report_schedules::list;
    post "/api/v1/companies/{id}/report-schedules" Api(Technician), api::report_schedules::create;
    delete "/api/v1/companies/{id}/report-schedules/{schedule_id}" Api(Technician), api::report_schedules::delete;
    patch "/api/v1/credentials/{id}" Api(Admin), api::credentials::update;
    post "/api/v1/consent-requests/{id}/checks" Api(Admin), api::consent_requests::check;
    delete "/api/v1/assessments/{id}/evidence/{control}/{evidence_id}" Api(Auditor), api::assessments::detach;
    post "/api/v1/channels/{id}/deliveries/{delivery_id}/retry" Api(Admin), api::channels::resend;
    get "/api/v1/runs/{id}/events" Api(Viewer), api::runs::events;
    get "/api/v1/members" Api(Auditor), api::members::list;
    get "/api/v1/members/{id}" Api(Auditor), api::members::get;
    patch "/api/v1/members/{id}" Api(Owner), api::members::update;
    delete "/api/v1/members/{id}" Api(Owner), api::members::delete;
    get "/api/v1/invitations" Api(Auditor), api::members::invitations;
    post "/api/v1/invitations" Api(Owner), api::members::invite;
    delete "/api/v1/invitations/{id}" Api(Owner), api::members::withdraw;
    get "/api/v1/organisation" Api(Viewer), api::organisation::get;
    patch "/api/v1/organisation" Api(Admin), api::organisation::update;
    get "/api/v1/contact-form" Api(Auditor), api::organisation::form;
    put "/api/v1/contact-form" Api(Admin), api::organisation::set_form;
    get "/api/v1/audit-rows" Api(Auditor), api::organisation::audit_rows;
    get "/api/v1/ocsf-events" Api(Viewer), api::ocsf_events::list;
    get "/api/v1/intakes" Api(Auditor), api::intakes::list;
    post "/api/v1/intakes" Api(Admin), api::intakes::create;
    get "/api/v1/intakes/{id}" Api(Auditor), api::intakes::get;
    patch "/api/v1/intakes/{id}" Api(Admin), api::intakes::update;
    delete "/api/v1/intakes/{id}" Api(Admin), api::intakes::delete;
    post "/api/v1/intakes/{id}/full-passes" Api(Admin), api::intakes::send_again;
    get "/api/v1/mappings" Api(Viewer), api::mappings::list;
    post "/api/v1/mappings" Api(Admin), api::mappings::create;
    get "/api/v1/mappings/{id}" Api(Viewer), api::mappings::get;
    patch "/api/v1/mappings/{id}" Api(Admin), api::mappings::update;
    delete "/api/v1/mappings/{id}" Api(Admin), api::mappings::delete;
    post "/api/v1/mappings/{id}/remap" Api(Admin), api::mappings::remap;
    get "/api/v1/runs" Api(Viewer), api::runs::list;
    get "/api/v1/scheduled-runs" Api(Viewer), api::scheduled_runs::list;
    post "/api/v1/runs" Api(Technician), api::runs::create;
    get "/api/v1/runs/{id}" Api(Viewer), api::runs::get;
    post "/api/v1/runs/{id}/cancel" Api(Technician), api::runs::cancel;
    post "/api/v1/runs/{id}/retry" Api(Technician), api::runs::retry;
}

/// Each row's method, upper case, and what its pattern matches: compiled once, as strangers ask for
/// paths that are none by the thousand.
static PATTERNS: LazyLock<Vec<(String, ResourceDef)>> = LazyLock::new(|| {
    TABLE
        .iter()
        .map(|(method, pattern, _)| (method.to_uppercase(), ResourceDef::new(*pattern)))
        .collect()
});

/// The methods of a path, upper case; none when there is no such path.
pub(crate) fn methods(path: &str) -> Vec<&'static str> {
    let fits = PATTERNS
        .iter()
        .filter(|(_, pattern)| pattern.is_match(path));
    fits.map(|(method, _)| method.as_str()).collect()
}

/// The access of a method and pattern; HEAD counts as GET.
pub(crate) fn access(method: &Method, pattern: &str) -> Option<Access> {
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    TABLE
        .iter()
        .find(|(m, path, _)| m.eq_ignore_ascii_case(method.as_str()) && *path == pattern)
        .map(|(_, _, access)| *access)
}
