//! Control profiles: what each control is and how to act on it.

use graph::{Cloud, Request, types};
use model::inventory::ControlProfileRow;

use crate::Collector;

pub(crate) struct ControlProfiles;

impl Collector for ControlProfiles {
    const NAME: &'static str = "control_profiles";
    const PERMISSION: &'static str = "SecurityEvents.Read.All";
    type Wire = types::SecureScoreControlProfile;
    type Row = ControlProfileRow;

    fn request() -> Request {
        Request::get("/security/secureScoreControlProfiles")
    }

    fn absent_from(cloud: &Cloud) -> Option<&'static str> {
        (!cloud.has_secure_scores).then_some("This cloud has no Secure Score.")
    }

    fn normalise(wire: types::SecureScoreControlProfile) -> Option<ControlProfileRow> {
        Some(ControlProfileRow {
            state: wire.state().map(str::to_owned),
            id: wire.id,
            title: wire.title,
            category: wire.control_category,
            max_score: wire.max_score,
            rank: wire.rank,
            action_type: wire.action_type,
            action_url: wire.action_url,
            service: wire.service,
            tier: wire.tier,
            threats: super::json_list(&wire.threats),
            user_impact: wire.user_impact,
            implementation_cost: wire.implementation_cost,
            remediation: wire.remediation,
            remediation_impact: wire.remediation_impact,
            deprecated: wire.deprecated,
        })
    }
}
