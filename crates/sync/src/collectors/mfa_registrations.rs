//! The registration report: who has MFA. Without Entra ID P1 it cannot be read, and then MFA is
//! unknown, never "not registered".

use graph::{Request, types};
use model::inventory::MfaRow;

use crate::Collector;

pub(crate) struct MfaRegistrations;

impl Collector for MfaRegistrations {
    const NAME: &'static str = "mfa_registrations";
    const PERMISSION: &'static str = "AuditLog.Read.All";
    type Wire = types::UserRegistrationDetails;
    type Row = MfaRow;

    fn request() -> Request {
        Request::get("/reports/authenticationMethods/userRegistrationDetails").top(999)
    }

    fn normalise(wire: types::UserRegistrationDetails) -> MfaRow {
        MfaRow {
            id: wire.id,
            is_admin: wire.is_admin,
            is_mfa_registered: wire.is_mfa_registered,
            is_mfa_capable: wire.is_mfa_capable,
            is_passwordless_capable: wire.is_passwordless_capable,
            methods: Some(super::json_list(&wire.methods_registered)),
            reported_at: wire.last_updated_date_time.map(Into::into),
        }
    }
}
