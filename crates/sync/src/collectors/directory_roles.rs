//! Directory roles that were activated.

use graph::{Request, types};
use model::inventory::DirectoryRoleRow;

use crate::Collector;

pub(crate) struct DirectoryRoles;

impl Collector for DirectoryRoles {
    const NAME: &'static str = "directory_roles";
    const PERMISSION: &'static str = "RoleManagement.Read.Directory";
    type Wire = types::DirectoryRole;
    type Row = DirectoryRoleRow;

    fn request() -> Request {
        // This collection has no pages and takes no $top.
        Request::get("/directoryRoles").select(types::DirectoryRole::SELECT)
    }

    fn changes() -> Option<Request> {
        Some(Request::get("/directoryRoles/delta").select(types::DirectoryRole::SELECT))
    }

    fn normalise(wire: types::DirectoryRole) -> Option<DirectoryRoleRow> {
        Some(DirectoryRoleRow {
            id: wire.id,
            display_name: wire.display_name,
            description: wire.description,
            role_template_id: wire.role_template_id,
        })
    }
}
