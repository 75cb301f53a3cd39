//! Conditional access policies, with conditions and controls as Graph gives them.

use graph::{Request, types};
use model::{Feature, inventory::ConditionalAccessPolicyRow};

use crate::Collector;

pub(crate) struct ConditionalAccessPolicies;

impl Collector for ConditionalAccessPolicies {
    const NAME: &'static str = "conditional_access_policies";
    const PERMISSION: &'static str = "Policy.Read.All";
    const FEATURE: Option<Feature> = Some(Feature::Policies);
    type Wire = types::ConditionalAccessPolicy;
    type Row = ConditionalAccessPolicyRow;

    fn request() -> Request {
        Request::get("/identity/conditionalAccess/policies")
    }

    fn normalise(wire: types::ConditionalAccessPolicy) -> Option<ConditionalAccessPolicyRow> {
        Some(ConditionalAccessPolicyRow {
            id: wire.id,
            display_name: wire.display_name,
            state: wire.state,
            conditions: wire
                .conditions
                .map_or_else(|| "{}".into(), |c| c.get().to_owned()),
            grant_controls: wire.grant_controls.map(|c| c.get().to_owned()),
            session_controls: wire.session_controls.map(|c| c.get().to_owned()),
            template_id: wire.template_id,
            policy_created_at: wire.created_date_time.map(Into::into),
            policy_modified_at: wire.modified_date_time.map(Into::into),
        })
    }
}
