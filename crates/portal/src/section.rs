//! The sections of a directory beside users and groups: which table each shows, and how. Pages and
//! API read the same list, so a section is one entry here.

use model::inventory::{
    AppRoleAssignmentRow, ApplicationCredentialRow, ApplicationOwnerRow, ApplicationRow,
    ConditionalAccessPolicyRow, DeviceRow, DirectoryAuditRow, DirectoryRoleRow, DomainRow,
    ManagedDeviceRow, Object, RiskDetectionRow, RiskyUserRow, RoleAssignmentRow, RoleDefinitionRow,
    RoleEligibilityRow, ServicePrincipalRow, SignInRow, SkuRow, Sort, Table,
};

/// One section.
pub(crate) struct Section {
    /// Its word in addresses.
    pub(crate) word: &'static str,
    /// Its name.
    pub(crate) label: &'static str,
    /// The tab under which it stands.
    pub(crate) tab: &'static str,
    /// Where its objects are.
    pub(crate) table: &'static Table,
    /// The collector that reads them.
    pub(crate) collector: &'static str,
    /// What its objects must be: a column and its value.
    pub(crate) only: Option<(&'static str, &'static str)>,
    /// Columns of the list beside the name.
    pub(crate) columns: &'static [&'static str],
    /// Newest first by this column, where a list in time makes sense.
    pub(crate) newest_by: Option<&'static str>,
    /// Tables of what belongs to an object.
    pub(crate) parts: &'static [(&'static str, &'static Table)],
}

const PLAIN: Section = Section {
    word: "",
    label: "",
    tab: "",
    table: DeviceRow::TABLE,
    collector: "",
    only: None,
    columns: &[],
    newest_by: None,
    parts: &[],
};

/// The tabs, in order: word and label.
const TABS: &[(&str, &str)] = &[
    ("app-registrations", "App registrations"),
    ("service-principals", "Service principals"),
    ("managed-identities", "Managed identities"),
    ("devices", "Devices"),
    ("roles", "Roles"),
    ("conditional-access", "Conditional access"),
    ("risk", "Risk"),
    ("licences", "Licences"),
    ("domains", "Domains"),
];

/// All sections; the first of a tab is what the tab opens.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        word: "app-registrations",
        label: "App registrations",
        tab: "app-registrations",
        table: ApplicationRow::TABLE,
        collector: "applications",
        columns: &["app_id", "secrets", "certificates", "credentials_end_at"],
        parts: &[
            ("Owners", ApplicationOwnerRow::TABLE),
            ("Secrets and certificates", ApplicationCredentialRow::TABLE),
        ],
        ..PLAIN
    },
    Section {
        word: "service-principals",
        label: "Service principals",
        tab: "service-principals",
        table: ServicePrincipalRow::TABLE,
        collector: "service_principals",
        columns: &["app_id", "kind", "publisher", "account_enabled"],
        parts: &[("Assigned roles", AppRoleAssignmentRow::TABLE)],
        ..PLAIN
    },
    Section {
        word: "managed-identities",
        label: "Managed identities",
        tab: "managed-identities",
        table: ServicePrincipalRow::TABLE,
        collector: "service_principals",
        only: Some(("kind", "ManagedIdentity")),
        columns: &["identity_kind", "associated_resource", "account_enabled"],
        parts: &[("Assigned roles", AppRoleAssignmentRow::TABLE)],
        ..PLAIN
    },
    Section {
        word: "devices",
        label: "Devices",
        tab: "devices",
        table: DeviceRow::TABLE,
        collector: "devices",
        columns: &[
            "operating_system",
            "operating_system_version",
            "trust_type",
            "is_compliant",
            "last_sign_in_at",
        ],
        ..PLAIN
    },
    Section {
        word: "managed-devices",
        label: "Managed by Intune",
        tab: "devices",
        table: ManagedDeviceRow::TABLE,
        collector: "managed_devices",
        columns: &[
            "user_principal_name",
            "operating_system",
            "compliance_state",
            "is_encrypted",
            "last_sync_at",
        ],
        ..PLAIN
    },
    Section {
        word: "role-assignments",
        label: "Role assignments",
        tab: "roles",
        table: RoleAssignmentRow::TABLE,
        collector: "role_assignments",
        columns: &["role_definition_id", "principal_type", "directory_scope_id"],
        ..PLAIN
    },
    Section {
        word: "role-eligibilities",
        label: "Eligible",
        tab: "roles",
        table: RoleEligibilityRow::TABLE,
        collector: "role_eligibilities",
        columns: &[
            "role_definition_id",
            "principal_type",
            "starts_at",
            "ends_at",
        ],
        ..PLAIN
    },
    Section {
        word: "directory-roles",
        label: "Active roles",
        tab: "roles",
        table: DirectoryRoleRow::TABLE,
        collector: "directory_roles",
        columns: &["description"],
        ..PLAIN
    },
    Section {
        word: "role-definitions",
        label: "All roles",
        tab: "roles",
        table: RoleDefinitionRow::TABLE,
        collector: "role_definitions",
        columns: &["description", "is_built_in"],
        ..PLAIN
    },
    Section {
        word: "conditional-access-policies",
        label: "Conditional access policies",
        tab: "conditional-access",
        table: ConditionalAccessPolicyRow::TABLE,
        collector: "conditional_access_policies",
        columns: &["state", "policy_created_at", "policy_modified_at"],
        ..PLAIN
    },
    Section {
        word: "risky-users",
        label: "Users at risk",
        tab: "risk",
        table: RiskyUserRow::TABLE,
        collector: "risky_users",
        columns: &[
            "user_principal_name",
            "risk_level",
            "risk_state",
            "risk_updated_at",
        ],
        newest_by: Some("risk_updated_at"),
        ..PLAIN
    },
    Section {
        word: "risk-detections",
        label: "Detections",
        tab: "risk",
        table: RiskDetectionRow::TABLE,
        collector: "risk_detections",
        columns: &[
            "risk_event_type",
            "risk_level",
            "risk_state",
            "ip_address",
            "detected_at",
        ],
        newest_by: Some("detected_at"),
        ..PLAIN
    },
    Section {
        word: "sign-ins",
        label: "Sign-ins at risk",
        tab: "risk",
        table: SignInRow::TABLE,
        collector: "sign_ins",
        columns: &[
            "app_display_name",
            "risk_level",
            "ip_address",
            "country",
            "signed_in_at",
        ],
        newest_by: Some("signed_in_at"),
        ..PLAIN
    },
    Section {
        word: "directory-audits",
        label: "Changes",
        tab: "risk",
        table: DirectoryAuditRow::TABLE,
        collector: "directory_audits",
        columns: &["category", "result", "initiated_by", "activity_at"],
        newest_by: Some("activity_at"),
        ..PLAIN
    },
    Section {
        word: "licences",
        label: "Licences",
        tab: "licences",
        table: SkuRow::TABLE,
        collector: "subscribed_skus",
        columns: &[
            "capability_status",
            "enabled_units",
            "consumed_units",
            "warning_units",
        ],
        ..PLAIN
    },
    Section {
        word: "domains",
        label: "Domains",
        tab: "domains",
        table: DomainRow::TABLE,
        collector: "domains",
        columns: &[
            "authentication_type",
            "is_default",
            "is_initial",
            "is_verified",
        ],
        ..PLAIN
    },
];

/// The tabs: word, label, and the section that each opens.
pub(crate) fn tabs() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABS.iter().filter_map(|(tab, label)| {
        let first = SECTIONS.iter().find(|section| section.tab == *tab)?;
        Some((*tab, *label, first.word))
    })
}

impl Section {
    /// The section of a word.
    pub(crate) fn of(word: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.word == word)
    }

    /// The column by which a list is sorted when nothing else is asked for.
    pub(crate) fn sort(&self, asked: &str, descending: bool) -> Option<Sort> {
        let known = self.table.columns.iter().map(|(name, _)| *name);
        let mut known = known.filter(|name| *name == asked);
        match known.next() {
            Some(column) => Some(Sort { column, descending }),
            None => self.newest_by.map(|column| Sort {
                column,
                descending: true,
            }),
        }
    }

    /// Conditions of its list.
    pub(crate) fn wanted(&self) -> &[(&'static str, &'static str)] {
        self.only.as_slice()
    }
}

/// A column's name in words.
pub(crate) fn label(column: &str) -> String {
    match column {
        "app_id" => "Application (client) ID".into(),
        "device_id" => "Device ID".into(),
        "sku_id" => "SKU ID".into(),
        "credentials_end_at" => "First ends".into(),
        "identity_kind" => "Assigned".into(),
        "role_definition_id" => "Role".into(),
        "directory_scope_id" => "Scope".into(),
        "ip_address" => "IP address".into(),
        "os_version" => "OS version".into(),
        _ => {
            let words = column.trim_end_matches("_at").replace('_', " ");
            let mut letters = words.chars();
            letters.next().map_or(String::new(), |first| {
                first.to_uppercase().chain(letters).collect()
            })
        }
    }
}
