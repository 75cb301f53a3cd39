//! Users at risk.

use graph::{Cloud, Request, types};
use model::{Feature, inventory::RiskyUserRow};

use crate::Collector;

pub(crate) struct RiskyUsers;

impl Collector for RiskyUsers {
    const NAME: &'static str = "risky_users";
    const PERMISSION: &'static str = "IdentityRiskyUser.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::Risk);
    const IS_GUARDED: bool = false;
    type Wire = types::RiskyUser;
    type Row = RiskyUserRow;

    fn request() -> Request {
        // Larger pages are refused (seen in the wild with 1000).
        Request::get("/identityProtection/riskyUsers").top(500)
    }

    fn absent_from(cloud: &Cloud) -> Option<&'static str> {
        (!cloud.has_identity_protection).then_some("This cloud has no identity protection.")
    }

    fn normalise(wire: types::RiskyUser) -> Option<RiskyUserRow> {
        // The list keeps users that were deleted.
        if wire.is_deleted == Some(true) {
            return None;
        }
        Some(RiskyUserRow {
            id: wire.id,
            display_name: wire.user_display_name,
            user_principal_name: wire.user_principal_name,
            risk_level: wire.risk_level,
            risk_state: wire.risk_state,
            risk_detail: wire.risk_detail,
            risk_updated_at: wire.risk_last_updated_date_time.map(Into::into),
        })
    }
}
