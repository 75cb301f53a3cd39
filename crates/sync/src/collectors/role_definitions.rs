//! Roles that the directory knows.

use graph::{Request, types};
use model::inventory::RoleDefinitionRow;

use crate::Collector;

pub(crate) struct RoleDefinitions;

impl Collector for RoleDefinitions {
    const NAME: &'static str = "role_definitions";
    const PERMISSION: &'static str = "RoleManagement.Read.Directory";
    type Wire = types::RoleDefinition;
    type Row = RoleDefinitionRow;

    fn request() -> Request {
        Request::get("/roleManagement/directory/roleDefinitions")
            .select(types::RoleDefinition::SELECT)
    }

    fn normalise(wire: types::RoleDefinition) -> Option<RoleDefinitionRow> {
        Some(RoleDefinitionRow {
            id: wire.id,
            display_name: wire.display_name,
            description: wire.description,
            template_id: wire.template_id,
            is_built_in: wire.is_built_in,
            is_enabled: wire.is_enabled,
        })
    }
}
