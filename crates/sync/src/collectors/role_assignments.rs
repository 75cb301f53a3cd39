//! Who has a role.

use graph::{Request, types};
use model::inventory::RoleAssignmentRow;

use crate::Collector;

pub(crate) struct RoleAssignments;

impl Collector for RoleAssignments {
    const NAME: &'static str = "role_assignments";
    const PERMISSION: &'static str = "RoleManagement.Read.Directory";
    type Wire = types::RoleAssignment;
    type Row = RoleAssignmentRow;

    fn request() -> Request {
        Request::get("/roleManagement/directory/roleAssignments").expand("principal")
    }

    fn normalise(wire: types::RoleAssignment) -> Option<RoleAssignmentRow> {
        Some(RoleAssignmentRow {
            id: wire.id,
            principal_id: wire.principal_id,
            principal_type: wire.principal.as_ref().map(|p| p.kind().to_owned()),
            principal_name: wire.principal.and_then(|p| p.display_name),
            role_definition_id: wire.role_definition_id,
            directory_scope_id: wire.directory_scope_id,
        })
    }
}
