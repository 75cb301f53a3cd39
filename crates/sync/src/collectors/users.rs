//! Users, without sign-in activity, which needs a licence and has a pass of its own.

use graph::{Request, types};
use model::inventory::UserRow;

use crate::Collector;

pub(crate) struct Users;

impl Collector for Users {
    const NAME: &'static str = "users";
    const PERMISSION: &'static str = "User.Read.All";
    type Wire = types::User;
    type Row = UserRow;

    fn request() -> Request {
        Request::get("/users").select(types::User::SELECT).top(999)
    }

    fn changes() -> Option<Request> {
        Some(Request::get("/users/delta").select(types::User::SELECT))
    }

    fn normalise(wire: types::User) -> Option<UserRow> {
        let licences: Option<Vec<String>> = wire
            .assigned_licenses
            .map(|all| all.into_iter().filter_map(|l| l.sku_id).collect());
        Some(UserRow {
            id: wire.id,
            display_name: wire.display_name,
            user_principal_name: wire.user_principal_name,
            mail: wire.mail,
            given_name: wire.given_name,
            surname: wire.surname,
            job_title: wire.job_title,
            department: wire.department,
            office_location: wire.office_location,
            company_name: wire.company_name,
            employee_id: wire.employee_id,
            employee_type: wire.employee_type,
            on_premises_sam_account_name: wire.on_premises_sam_account_name,
            usage_location: wire.usage_location,
            user_type: wire.user_type,
            external_user_state: wire.external_user_state,
            account_enabled: wire.account_enabled,
            on_premises_sync_enabled: wire.on_premises_sync_enabled,
            licensed: licences.as_ref().map(|l| !l.is_empty()),
            licences: licences.as_deref().map(super::json_list),
            account_created_at: wire.created_date_time.map(Into::into),
            last_password_change_at: wire.last_password_change_date_time.map(Into::into),
        })
    }
}
