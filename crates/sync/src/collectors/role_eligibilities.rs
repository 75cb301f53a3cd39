//! Who may take a role by Privileged Identity Management.

use graph::{Request, types};
use model::{Feature, inventory::RoleEligibilityRow};

use crate::Collector;

pub(crate) struct RoleEligibilities;

impl Collector for RoleEligibilities {
    const NAME: &'static str = "role_eligibilities";
    const PERMISSION: &'static str = "RoleEligibilitySchedule.Read.Directory";
    const FEATURE: Option<Feature> = Some(Feature::Eligibility);
    const IS_GUARDED: bool = false;
    type Wire = types::RoleEligibility;
    type Row = RoleEligibilityRow;

    fn request() -> Request {
        Request::get("/roleManagement/directory/roleEligibilityScheduleInstances")
            .expand("principal")
    }

    fn normalise(wire: types::RoleEligibility) -> Option<RoleEligibilityRow> {
        Some(RoleEligibilityRow {
            id: wire.id,
            principal_id: wire.principal_id,
            principal_type: wire.principal.as_ref().map(|p| p.kind().to_owned()),
            principal_name: wire.principal.and_then(|p| p.display_name),
            role_definition_id: wire.role_definition_id,
            directory_scope_id: wire.directory_scope_id,
            member_type: wire.member_type,
            starts_at: wire.start_date_time.map(Into::into),
            ends_at: wire.end_date_time.map(Into::into),
        })
    }
}
