//! When users signed in last: a run of its own, because Microsoft allows ten reads a minute for all
//! tenants of an application together. Without a licence the whole request fails, so it is never
//! asked for with the users.

use graph::{Request, types};
use model::{Feature, inventory::SignInActivityRow};

use crate::Collector;

pub(crate) struct SignInActivities;

impl Collector for SignInActivities {
    const NAME: &'static str = "sign_in_activities";
    const PERMISSION: &'static str = "AuditLog.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::Activity);
    const IS_GUARDED: bool = false;
    type Wire = types::UserActivity;
    type Row = SignInActivityRow;

    fn request() -> Request {
        // Larger pages are refused where the activity is asked for.
        Request::get("/users")
            .select(&["id", "signInActivity"])
            .top(500)
    }

    fn normalise(wire: types::UserActivity) -> Option<SignInActivityRow> {
        let activity = wire.sign_in_activity.unwrap_or_default();
        Some(SignInActivityRow {
            id: wire.id,
            last_sign_in_at: super::real(activity.last_sign_in_date_time),
            last_non_interactive_sign_in_at: super::real(
                activity.last_non_interactive_sign_in_date_time,
            ),
            last_successful_sign_in_at: super::real(activity.last_successful_sign_in_date_time),
        })
    }
}
