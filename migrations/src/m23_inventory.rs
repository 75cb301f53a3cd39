//! The rest of a directory: owners, applications with their credentials, service principals with
//! their assignments, devices, roles, policies, risk, logs, and sign-in activity.

use sea_orm_migration::prelude::*;

use crate::m22_snapshots::Inventory;

/// Applies the statements of this file.
#[derive(Debug)]
pub(crate) struct Change;

impl MigrationName for Change {
    fn name(&self) -> &str {
        "m23_inventory"
    }
}

const TEXT: &str = "TEXT";
const NAME: &str = "TEXT NOT NULL";
const BOOLEAN: &str = "BOOLEAN";
const NUMBER: &str = "BIGINT";

const TABLES: &[Inventory] = &[
    Inventory {
        table: "sign_in_activities",
        parent: None,
        columns: &[
            ("last_sign_in_at", NUMBER),
            ("last_non_interactive_sign_in_at", NUMBER),
            ("last_successful_sign_in_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "group_owners",
        parent: Some("group_id"),
        columns: &[("owner_type", NAME), ("display_name", TEXT)],
        listed_by: None,
    },
    Inventory {
        table: "applications",
        parent: None,
        columns: &[
            ("app_id", NAME),
            ("display_name", NAME),
            ("publisher_domain", TEXT),
            ("verified_publisher", TEXT),
            ("sign_in_audience", TEXT),
            ("disabled_by_microsoft", TEXT),
            ("secrets", NUMBER),
            ("certificates", NUMBER),
            ("credentials_end_at", NUMBER),
            ("app_created_at", NUMBER),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "application_owners",
        parent: Some("application_id"),
        columns: &[
            ("owner_type", NAME),
            ("display_name", TEXT),
            ("user_principal_name", TEXT),
        ],
        listed_by: None,
    },
    Inventory {
        table: "application_credentials",
        parent: Some("application_id"),
        columns: &[
            ("kind", NAME),
            ("display_name", TEXT),
            ("starts_at", NUMBER),
            ("ends_at", NUMBER),
        ],
        listed_by: Some("ends_at"),
    },
    Inventory {
        table: "service_principals",
        parent: None,
        columns: &[
            ("app_id", NAME),
            ("display_name", NAME),
            ("kind", TEXT),
            ("account_enabled", BOOLEAN),
            ("publisher", TEXT),
            ("app_owner_organization_id", TEXT),
            ("app_role_assignment_required", BOOLEAN),
            ("associated_resource", TEXT),
            ("identity_kind", TEXT),
            ("app_roles", NAME),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "app_role_assignments",
        parent: Some("principal_id"),
        columns: &[
            ("app_role_id", NAME),
            ("resource_id", NAME),
            ("resource_display_name", TEXT),
            ("assigned_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "service_principal_activities",
        parent: None,
        columns: &[
            ("last_sign_in_at", NUMBER),
            ("last_delegated_sign_in_at", NUMBER),
            ("last_application_sign_in_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "devices",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("device_id", TEXT),
            ("operating_system", TEXT),
            ("operating_system_version", TEXT),
            ("manufacturer", TEXT),
            ("model", TEXT),
            ("trust_type", TEXT),
            ("is_compliant", BOOLEAN),
            ("is_managed", BOOLEAN),
            ("account_enabled", BOOLEAN),
            ("last_sign_in_at", NUMBER),
            ("registered_at", NUMBER),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "managed_devices",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("device_id", TEXT),
            ("user_principal_name", TEXT),
            ("operating_system", TEXT),
            ("os_version", TEXT),
            ("compliance_state", TEXT),
            ("owner_type", TEXT),
            ("management_agent", TEXT),
            ("is_encrypted", BOOLEAN),
            ("jail_broken", TEXT),
            ("manufacturer", TEXT),
            ("model", TEXT),
            ("serial_number", TEXT),
            ("enrolled_at", NUMBER),
            ("last_sync_at", NUMBER),
        ],
        listed_by: Some("display_name"),
    },
    Inventory {
        table: "directory_roles",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("description", TEXT),
            ("role_template_id", TEXT),
        ],
        listed_by: None,
    },
    Inventory {
        table: "role_definitions",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("description", TEXT),
            ("template_id", TEXT),
            ("is_built_in", BOOLEAN),
            ("is_enabled", BOOLEAN),
        ],
        listed_by: None,
    },
    Inventory {
        table: "role_assignments",
        parent: None,
        columns: &[
            ("principal_id", NAME),
            ("principal_type", TEXT),
            ("principal_name", TEXT),
            ("role_definition_id", NAME),
            ("directory_scope_id", TEXT),
        ],
        listed_by: Some("principal_id"),
    },
    Inventory {
        table: "role_eligibilities",
        parent: None,
        columns: &[
            ("principal_id", NAME),
            ("principal_type", TEXT),
            ("principal_name", TEXT),
            ("role_definition_id", NAME),
            ("directory_scope_id", TEXT),
            ("member_type", TEXT),
            ("starts_at", NUMBER),
            ("ends_at", NUMBER),
        ],
        listed_by: Some("principal_id"),
    },
    Inventory {
        table: "conditional_access_policies",
        parent: None,
        columns: &[
            ("display_name", NAME),
            ("state", NAME),
            ("conditions", NAME),
            ("grant_controls", TEXT),
            ("session_controls", TEXT),
            ("template_id", TEXT),
            ("policy_created_at", NUMBER),
            ("policy_modified_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "risky_users",
        parent: None,
        columns: &[
            ("display_name", TEXT),
            ("user_principal_name", TEXT),
            ("risk_level", TEXT),
            ("risk_state", TEXT),
            ("risk_detail", TEXT),
            ("risk_updated_at", NUMBER),
        ],
        listed_by: None,
    },
    Inventory {
        table: "risk_detections",
        parent: None,
        columns: &[
            ("user_id", TEXT),
            ("display_name", TEXT),
            ("user_principal_name", TEXT),
            ("risk_event_type", TEXT),
            ("risk_level", TEXT),
            ("risk_state", TEXT),
            ("risk_detail", TEXT),
            ("source", TEXT),
            ("activity", TEXT),
            ("ip_address", TEXT),
            ("city", TEXT),
            ("country", TEXT),
            ("detected_at", NUMBER),
        ],
        listed_by: Some("detected_at"),
    },
    Inventory {
        table: "directory_audits",
        parent: None,
        columns: &[
            ("activity", NAME),
            ("category", NAME),
            ("result", TEXT),
            ("result_reason", TEXT),
            ("service", TEXT),
            ("operation_type", TEXT),
            ("initiated_by", TEXT),
            ("targets", NAME),
            ("activity_at", NUMBER),
        ],
        listed_by: Some("activity_at"),
    },
    Inventory {
        table: "sign_ins",
        parent: None,
        columns: &[
            ("user_id", TEXT),
            ("display_name", TEXT),
            ("user_principal_name", TEXT),
            ("app_display_name", TEXT),
            ("client_app", TEXT),
            ("ip_address", TEXT),
            ("city", TEXT),
            ("country", TEXT),
            ("risk_level", TEXT),
            ("risk_state", TEXT),
            ("conditional_access_status", TEXT),
            ("error_code", NUMBER),
            ("failure_reason", TEXT),
            ("signed_in_at", NUMBER),
        ],
        listed_by: Some("signed_in_at"),
    },
];

#[async_trait::async_trait]
impl MigrationTrait for Change {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut statements = vec![
            "ALTER TABLE users ADD COLUMN on_premises_sam_account_name TEXT".to_owned(),
            "ALTER TABLE mappings ADD COLUMN planned_sign_in_activity BIGINT".to_owned(),
        ];
        statements.extend(TABLES.iter().flat_map(Inventory::statements));
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        crate::execute(manager, &statements).await
    }
}
