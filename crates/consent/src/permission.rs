//! The permissions that the features need: one table for the guide, the manifest and the checks.
//!
//! GUIDs are Microsoft Graph's application roles (source: Graph's permissions reference, checked
//! against two published files).

use graph::{Class, Cloud, GraphClient, Meter, Request};
use serde_json::{Value, json};

/// Microsoft Graph's own application id.
pub const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// An application permission of Microsoft Graph.
#[derive(Debug, Clone, Copy)]
pub struct Permission {
    /// Name.
    pub name: &'static str,
    /// GUID of the application role.
    pub id: &'static str,
    /// Why it is wanted.
    pub why: &'static str,
    /// What stops working without it.
    pub without: &'static str,
    /// The cheapest call that needs it.
    probe: &'static str,
}

/// What the features that are switched on need, and nothing more.
pub const MANIFEST: &[Permission] = &[
    Permission {
        name: "Organization.Read.All",
        id: "498476ce-e0fe-48b0-b801-37ba7e2685c6",
        why: "Reads the tenant's name and verified domains, which proves that consent works.",
        without: "Tenants cannot be connected.",
        probe: "/organization",
    },
    Permission {
        name: "Domain.Read.All",
        id: "dbb9058a-0e50-45d7-ae91-66909b5d4664",
        why: "Reads the tenant's domains.",
        without: "The list of domains stays empty.",
        probe: "/domains",
    },
    Permission {
        name: "User.Read.All",
        id: "df021288-bdef-4463-88db-98f22de89214",
        why: "Reads users with their account status and licences.",
        without: "Users are not synced.",
        probe: "/users",
    },
    Permission {
        name: "GroupMember.Read.All",
        id: "98830695-27a2-44f7-8c18-0c3ebc9698f6",
        why: "Reads groups and who is in them, without the groups' content.",
        without: "Groups are not synced.",
        probe: "/groups",
    },
    Permission {
        name: "AuditLog.Read.All",
        id: "b0afded3-3588-46d8-8b3d-9842eff778da",
        why: "Reads the report on MFA registration (tenants with Entra ID P1 or P2).",
        without: "MFA is shown as unknown.",
        probe: "/reports/authenticationMethods/userRegistrationDetails",
    },
    Permission {
        name: "SecurityEvents.Read.All",
        id: "bf394140-e372-4bf9-a898-299cfc7564e5",
        why: "Reads Microsoft Secure Score and its controls.",
        without: "Secure Score is not synced.",
        probe: "/security/secureScores",
    },
];

/// The `requiredResourceAccess` member of an app registration's manifest.
pub fn required_resource_access() -> Value {
    json!([{
        "resourceAppId": GRAPH_APP_ID,
        "resourceAccess": MANIFEST
            .iter()
            .map(|p| json!({ "id": p.id, "type": "Role" }))
            .collect::<Vec<_>>(),
    }])
}

/// Names of the permissions that a tenant did not grant, found by their cheapest calls. A missing
/// licence, a service that is not in this cloud and a passing failure say nothing against a
/// permission.
pub async fn missing(client: &GraphClient, cloud: &Cloud) -> Vec<String> {
    let meter = Meter::default();
    let mut missing = Vec::new();
    for permission in MANIFEST {
        if permission.probe.starts_with("/security/") && !cloud.has_secure_scores {
            continue;
        }
        let request = Request::get(permission.probe).top(1).at_most(1);
        let request = match permission.probe {
            // These take no $top.
            "/organization" | "/domains" => Request::get(permission.probe).at_most(1),
            _ => request,
        };
        let answer = client
            .read_all::<serde::de::IgnoredAny>(&request, &meter)
            .await;
        if answer.is_err_and(|e| e.class() == Class::Permission) {
            missing.push(permission.name.to_owned());
        }
    }
    missing
}
