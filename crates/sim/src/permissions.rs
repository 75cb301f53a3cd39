//! Graph's application permissions.

use crate::world;

/// Microsoft Graph's application id.
pub(crate) const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// GUIDs of the permissions that the simulation grants, and of some that nobody asks for (source:
/// Graph's permissions reference).
pub(crate) const ROLE_IDS: &[(&str, &str)] = &[
    (
        "Organization.Read.All",
        "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    ),
    ("Domain.Read.All", "dbb9058a-0e50-45d7-ae91-66909b5d4664"),
    ("User.Read.All", "df021288-bdef-4463-88db-98f22de89214"),
    (
        "GroupMember.Read.All",
        "98830695-27a2-44f7-8c18-0c3ebc9698f6",
    ),
    (
        "Application.Read.All",
        "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    ),
    (
        "RoleManagement.Read.Directory",
        "483bed4a-2ad3-4361-a73b-c83ccdbdc53c",
    ),
    (
        "RoleEligibilitySchedule.Read.Directory",
        "ff278e11-4a33-4d0c-83d2-d01dc58929a5",
    ),
    ("AuditLog.Read.All", "b0afded3-3588-46d8-8b3d-9842eff778da"),
    (
        "SecurityEvents.Read.All",
        "bf394140-e372-4bf9-a898-299cfc7564e5",
    ),
    ("Device.Read.All", "7438b122-aefc-4978-80ed-43db9fcc7715"),
    (
        "DeviceManagementManagedDevices.Read.All",
        "2f51be20-0bb4-4fed-bf7b-db946066c75e",
    ),
    ("Policy.Read.All", "246dd0d5-5bd0-4def-940b-0421030a5b68"),
    (
        "IdentityRiskyUser.Read.All",
        "dc5007c0-2d7d-4c42-879c-2dab87571379",
    ),
    (
        "IdentityRiskEvent.Read.All",
        "6e472fd1-ad78-48da-a0f0-97ab2c6b769e",
    ),
    (
        "DelegatedAdminRelationship.Read.All",
        "f6e9e124-4586-492f-adc0-c6f96e4823fd",
    ),
    (
        "CrossTenantInformation.ReadBasic.All",
        "cac88765-0581-4025-9725-5ebc13f729ee",
    ),
    ("Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61"),
    ("Mail.Send", "b633e1c5-b582-4048-a93e-9f11b44c7e96"),
    ("Group.Read.All", "5b567255-7703-4780-807c-7be8301ae99b"),
];

/// What other applications of a directory ask for.
pub(crate) const NAMES: &[&str] = &[
    "User.Read.All",
    "Mail.Send",
    "Group.Read.All",
    "Directory.Read.All",
    "Device.Read.All",
    "AuditLog.Read.All",
];

pub(crate) fn role_id(name: &str) -> String {
    ROLE_IDS.iter().find(|(n, _)| *n == name).map_or_else(
        || world::id(name.as_bytes(), 0).to_string(),
        |(_, id)| (*id).to_owned(),
    )
}
