//! The permissions that the features need: one table for the guide, the manifest, the test of a
//! connection, the check of drift and the documentation.
//!
//! GUIDs are Microsoft Graph's application roles and delegated scopes (source: Graph's permissions
//! reference, checked against two published files).

use graph::{Class, Cloud, Error as GraphError, GraphClient, Meter, Request, types};
use model::{ClientId, CredentialKind, Feature, credential::Credential};
use serde_json::{Value, json};

/// Microsoft Graph's own application id.
pub const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// A permission of Microsoft Graph.
#[derive(Debug, Clone, Copy)]
pub struct Permission {
    /// Name.
    pub name: &'static str,
    /// GUID of the application role.
    pub role: &'static str,
    /// GUID of the delegated scope.
    pub scope: &'static str,
    /// Why it is wanted.
    pub why: &'static str,
    /// What stops working without it.
    pub without: &'static str,
    /// The features that need it; none for what every connection reads.
    pub features: &'static [Feature],
    /// Whether it is used in the partner's own directory alone.
    pub home_only: bool,
    /// The cheapest call that needs it, where reading shows it.
    probe: Option<&'static str>,
}

const BASE: Permission = Permission {
    name: "",
    role: "",
    scope: "",
    why: "",
    without: "",
    features: &[],
    home_only: false,
    probe: None,
};

/// Everything that any feature needs.
pub const MANIFEST: &[Permission] = &[
    Permission {
        name: "Organization.Read.All",
        role: "498476ce-e0fe-48b0-b801-37ba7e2685c6",
        scope: "4908d5b9-3fb2-4b1e-9336-1888b7937185",
        why: "Reads the tenant's name, verified domains and licences; that it can be read proves that consent works.",
        without: "Tenants cannot be connected.",
        probe: Some("/organization"),
        ..BASE
    },
    Permission {
        name: "Domain.Read.All",
        role: "dbb9058a-0e50-45d7-ae91-66909b5d4664",
        scope: "2f9ee017-59c1-4f1d-9472-bd5529a7b311",
        why: "Reads the tenant's domains.",
        without: "The list of domains stays empty.",
        probe: Some("/domains"),
        ..BASE
    },
    Permission {
        name: "User.Read.All",
        role: "df021288-bdef-4463-88db-98f22de89214",
        scope: "a154be20-db9c-4678-8ab7-66f6cc099a59",
        why: "Reads users with their account status and licences.",
        without: "Users are not synced.",
        probe: Some("/users"),
        ..BASE
    },
    Permission {
        name: "GroupMember.Read.All",
        role: "98830695-27a2-44f7-8c18-0c3ebc9698f6",
        scope: "bc024368-1153-4739-b217-4326f2e966d0",
        why: "Reads groups and who is in them, without the groups' content.",
        without: "Groups are not synced.",
        probe: Some("/groups"),
        ..BASE
    },
    Permission {
        name: "Application.Read.All",
        role: "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
        scope: "c79f8feb-a9db-4090-85f9-90d820caa0eb",
        why: "Reads which permissions were really granted, in which directory the registration lives, and when its secrets end.",
        without: "Permissions are shown as unknown, and a single-tenant application cannot be connected.",
        probe: Some("/applications"),
        ..BASE
    },
    Permission {
        name: "RoleManagement.Read.Directory",
        role: "483bed4a-2ad3-4361-a73b-c83ccdbdc53c",
        scope: "741c54c3-0c1e-44a1-818b-3f97ab4e8c83",
        why: "Reads who has which directory role, and checks that whoever consented administers the tenant.",
        without: "Roles are not synced, and the administrator's role is recorded as unknown.",
        probe: Some("/roleManagement/directory/roleAssignments"),
        ..BASE
    },
    Permission {
        name: "AuditLog.Read.All",
        role: "b0afded3-3588-46d8-8b3d-9842eff778da",
        scope: "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20",
        why: "Reads the report on MFA registration, sign-in activity, sign-ins at risk (tenants with Entra ID P1 or P2) and audit events.",
        without: "MFA, sign-ins and audit events are shown as unknown.",
        features: &[Feature::Mfa, Feature::Activity],
        probe: Some("/reports/authenticationMethods/userRegistrationDetails"),
        ..BASE
    },
    Permission {
        name: "Device.Read.All",
        role: "7438b122-aefc-4978-80ed-43db9fcc7715",
        scope: "951183d1-1a61-466f-a6d1-1fde911bfd95",
        why: "Reads devices that are joined or registered.",
        without: "Devices are not synced.",
        features: &[Feature::Devices],
        probe: Some("/devices"),
        ..BASE
    },
    Permission {
        name: "DeviceManagementManagedDevices.Read.All",
        role: "2f51be20-0bb4-4fed-bf7b-db946066c75e",
        scope: "314874da-47d6-4978-88dc-cf0d37f0bb82",
        why: "Reads devices that Intune manages (tenants with Intune).",
        without: "Managed devices are not synced.",
        features: &[Feature::ManagedDevices],
        probe: Some("/deviceManagement/managedDevices"),
        ..BASE
    },
    Permission {
        name: "Policy.Read.All",
        role: "246dd0d5-5bd0-4def-940b-0421030a5b68",
        scope: "572fea84-0151-49b2-9301-11cb16974376",
        why: "Reads conditional access policies. Microsoft gives no smaller permission for them.",
        without: "Conditional access is shown as unknown.",
        features: &[Feature::Policies],
        probe: Some("/identity/conditionalAccess/policies"),
        ..BASE
    },
    Permission {
        name: "IdentityRiskyUser.Read.All",
        role: "dc5007c0-2d7d-4c42-879c-2dab87571379",
        scope: "d04bb851-cb7c-4146-97c7-ca3e71baf56c",
        why: "Reads users at risk (tenants with Entra ID P2).",
        without: "Users at risk are shown as unknown.",
        features: &[Feature::Risk],
        probe: Some("/identityProtection/riskyUsers"),
        ..BASE
    },
    Permission {
        name: "IdentityRiskEvent.Read.All",
        role: "6e472fd1-ad78-48da-a0f0-97ab2c6b769e",
        scope: "8f6a01e7-0391-4ee5-aa22-a3af122cef27",
        why: "Reads detected risks (tenants with Entra ID P1 or P2).",
        without: "Detected risks are shown as unknown.",
        features: &[Feature::Risk],
        probe: Some("/identityProtection/riskDetections"),
        ..BASE
    },
    Permission {
        name: "RoleEligibilitySchedule.Read.Directory",
        role: "ff278e11-4a33-4d0c-83d2-d01dc58929a5",
        scope: "eb0788c2-6d4e-4658-8c9e-c0fb8053f03d",
        why: "Reads who may take a role by Privileged Identity Management (tenants with Entra ID P2).",
        without: "Eligible roles are shown as unknown.",
        features: &[Feature::Eligibility],
        probe: Some("/roleManagement/directory/roleEligibilityScheduleInstances"),
        ..BASE
    },
    Permission {
        name: "SecurityEvents.Read.All",
        role: "bf394140-e372-4bf9-a898-299cfc7564e5",
        scope: "64733abd-851e-478a-bffb-e47a14b18235",
        why: "Reads Microsoft Secure Score and its controls.",
        without: "Secure Score is not synced.",
        features: &[Feature::SecureScore],
        probe: Some("/security/secureScores"),
        ..BASE
    },
    Permission {
        name: "DelegatedAdminRelationship.Read.All",
        role: "f6e9e124-4586-492f-adc0-c6f96e4823fd",
        scope: "0c0064ea-477b-4130-82a5-4c2cc4ff68aa",
        why: "Lists the customers of your delegated administration (GDAP), in your own tenant.",
        without: "Customers are not discovered by GDAP.",
        features: &[Feature::Discovery],
        home_only: true,
        probe: Some("/tenantRelationships/delegatedAdminCustomers"),
    },
    Permission {
        name: "CrossTenantInformation.ReadBasic.All",
        role: "cac88765-0581-4025-9725-5ebc13f729ee",
        scope: "81594d25-e88e-49cf-ac8c-fecbff49f994",
        why: "Looks up the names of discovered tenants, in your own tenant.",
        without: "Discovered tenants are shown by their domain.",
        features: &[Feature::Discovery],
        home_only: true,
        ..BASE
    },
    Permission {
        name: "Directory.Read.All",
        role: "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
        scope: "06da0dbc-49e2-44d2-8312-53f166ab848a",
        why: "Lists your reseller contracts. Microsoft gives no smaller permission for it, and customers are asked for it too: better use a single-tenant credential of your own for this.",
        without: "Customers are not discovered by reseller contracts.",
        features: &[Feature::Contracts],
        home_only: true,
        probe: Some("/contracts"),
    },
    Permission {
        name: "Mail.Send",
        role: "b633e1c5-b582-4048-a93e-9f11b44c7e96",
        scope: "e383f46e-2787-4529-855e-0e479a3ffac0",
        why: "Sends mail from a mailbox of yours. Restrict it to that mailbox with an application access policy.",
        without: "No mail is sent through Microsoft 365.",
        features: &[Feature::Mail],
        home_only: true,
        ..BASE
    },
];

/// A feature as the form names it.
#[derive(Debug, Clone, Copy)]
pub struct FeatureLabel {
    /// The feature.
    pub feature: Feature,
    /// Label.
    pub label: &'static str,
    /// What switching it on brings.
    pub hint: &'static str,
}

/// All features in the order of the form.
pub const FEATURES: &[FeatureLabel] = &[
    FeatureLabel {
        feature: Feature::Mfa,
        label: "MFA registration",
        hint: "Who has registered for multi-factor authentication, and how.",
    },
    FeatureLabel {
        feature: Feature::SecureScore,
        label: "Microsoft Secure Score",
        hint: "Score, history and controls of each customer.",
    },
    FeatureLabel {
        feature: Feature::Activity,
        label: "Sign-in activity and audit",
        hint: "When users and applications signed in last, sign-ins at risk, and changes that evidence needs.",
    },
    FeatureLabel {
        feature: Feature::Devices,
        label: "Devices",
        hint: "Devices that are joined or registered.",
    },
    FeatureLabel {
        feature: Feature::ManagedDevices,
        label: "Intune",
        hint: "Devices that Intune manages, and whether they comply.",
    },
    FeatureLabel {
        feature: Feature::Policies,
        label: "Conditional access",
        hint: "Policies with their state, conditions and controls.",
    },
    FeatureLabel {
        feature: Feature::Risk,
        label: "Risk",
        hint: "Users at risk and detected risks.",
    },
    FeatureLabel {
        feature: Feature::Eligibility,
        label: "Eligible roles",
        hint: "Who may take a role by Privileged Identity Management.",
    },
    FeatureLabel {
        feature: Feature::Discovery,
        label: "Discovery by GDAP",
        hint: "Finds your customers through delegated administration, from your own tenant.",
    },
    FeatureLabel {
        feature: Feature::Contracts,
        label: "Discovery by reseller contracts",
        hint: "Finds your customers through CSP contracts, from your own tenant. Needs Directory.Read.All.",
    },
    FeatureLabel {
        feature: Feature::Mail,
        label: "Microsoft 365 mail",
        hint: "Sends reports and notifications from a mailbox of yours.",
    },
];

/// What a new credential uses unless told otherwise.
pub const DEFAULT_FEATURES: &[Feature] = &[
    Feature::Mfa,
    Feature::Activity,
    Feature::Devices,
    Feature::ManagedDevices,
    Feature::Policies,
    Feature::Risk,
    Feature::Eligibility,
    Feature::SecureScore,
];

/// The permissions that these features need, and nothing more.
pub fn required(features: &[Feature]) -> Vec<Permission> {
    MANIFEST
        .iter()
        .copied()
        .filter(|p| p.features.is_empty() || p.features.iter().any(|f| features.contains(f)))
        .collect()
}

/// Those of a credential.
pub fn required_by(credential: &Credential) -> Vec<Permission> {
    required(&credential.features)
}

/// The `requiredResourceAccess` member of an app registration's manifest.
pub fn required_resource_access(kind: CredentialKind, features: &[Feature]) -> Value {
    let delegated = kind == CredentialKind::Delegated;
    json!([{
        "resourceAppId": GRAPH_APP_ID,
        "resourceAccess": required(features)
            .iter()
            .map(|p| if delegated {
                json!({ "id": p.scope, "type": "Scope" })
            } else {
                json!({ "id": p.role, "type": "Role" })
            })
            .collect::<Vec<_>>(),
    }])
}

impl Permission {
    /// Tries the cheapest call that needs it; `None` where no reading call does, or where this cloud
    /// does not have the service.
    pub async fn try_it(
        &self,
        client: &GraphClient,
        cloud: &Cloud,
    ) -> Option<Result<(), GraphError>> {
        let path = self.probe?;
        if path.starts_with("/security/") && !cloud.has_secure_scores
            || path.starts_with("/identityProtection/") && !cloud.has_identity_protection
            || path.starts_with("/tenantRelationships/") && !cloud.has_delegated_admin
        {
            return None;
        }
        let request = match path {
            // These take no $top.
            "/organization" | "/domains" | "/identity/conditionalAccess/policies" => {
                Request::get(path)
            }
            "/roleManagement/directory/roleAssignments" => Request::get(path).query(
                "$filter",
                &format!("roleDefinitionId eq '{}'", graph::oidc::CONSENTING_ROLES[0]),
            ),
            _ => Request::get(path).top(1),
        };
        let answer = client
            .read_all::<serde::de::IgnoredAny>(&request.at_most(1), &Meter::default())
            .await;
        Some(answer.map(|_| ()))
    }
}

/// Names of the permissions that a tenant did not grant, found by their cheapest calls: where what
/// was granted cannot be read. A missing licence, a service that is not in this cloud and a passing
/// failure say nothing against a permission.
pub async fn missing_by_trying(
    client: &GraphClient,
    cloud: &Cloud,
    required: &[Permission],
) -> Vec<String> {
    let mut missing = Vec::new();
    for permission in required.iter().filter(|p| !p.home_only) {
        let refused = permission
            .try_it(client, cloud)
            .await
            .is_some_and(|answer| answer.is_err_and(|e| e.class() == Class::Permission));
        if refused {
            missing.push(permission.name.to_owned());
        }
    }
    missing
}

/// Names of the application permissions that the directory granted to the application. One of
/// another service than Graph comes as `service: GUID`. Delegated permissions are not listed: to read
/// them takes Directory.Read.All, and the application never acts with them.
pub async fn granted(
    client: &GraphClient,
    application: ClientId,
) -> Result<Vec<String>, GraphError> {
    let meter = Meter::default();
    let principal: types::ServicePrincipal = client
        .read(
            &Request::get(format!("/servicePrincipals(appId='{application}')"))
                .select(&["id", "appOwnerOrganizationId"]),
            &meter,
        )
        .await?;
    let request = Request::get(format!(
        "/servicePrincipals/{}/appRoleAssignments",
        principal.id
    ));
    let assignments: Vec<types::AppRoleAssignment> = client.read_all(&request, &meter).await?;
    let mut names = Vec::with_capacity(assignments.len());
    let mut unknown = Vec::new();
    for assignment in assignments {
        match MANIFEST
            .iter()
            .find(|p| p.role.eq_ignore_ascii_case(&assignment.app_role_id))
        {
            Some(permission) => names.push(permission.name.to_owned()),
            None => unknown.push(assignment),
        }
    }
    if !unknown.is_empty() {
        // Its whole list of permissions is long, so it is read only where a name is wanted.
        let graph: Option<types::ServicePrincipal> = client
            .read(
                &Request::get(format!("/servicePrincipals(appId='{GRAPH_APP_ID}')"))
                    .select(&["id", "appRoles"]),
                &meter,
            )
            .await
            .ok();
        for assignment in unknown {
            let name = graph
                .iter()
                .flat_map(|g| &g.app_roles)
                .find(|r| r.id.eq_ignore_ascii_case(&assignment.app_role_id))
                .and_then(|r| r.value.clone());
            names.push(name.unwrap_or_else(|| {
                let service = assignment.resource_display_name.unwrap_or_default();
                format!("{service}: {}", assignment.app_role_id)
            }));
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Required against granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Required and not granted.
    pub missing: Vec<String>,
    /// Granted and not required.
    pub unexpected: Vec<String>,
}

impl Drift {
    /// Compares. What is used in the partner's own directory alone (`is_home`) is not missing in a
    /// customer's.
    pub fn of(required: &[Permission], granted: &[String], is_home: bool) -> Self {
        Self {
            missing: required
                .iter()
                .filter(|p| is_home || !p.home_only)
                .filter(|p| !granted.iter().any(|g| g == p.name))
                .map(|p| p.name.to_owned())
                .collect(),
            unexpected: granted
                .iter()
                .filter(|g| !required.iter().any(|p| p.name == **g))
                .cloned()
                .collect(),
        }
    }

    /// Whether both sides are equal.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_is_off_asks_for_nothing() {
        let names = |features: &[Feature]| -> Vec<&str> {
            required(features).iter().map(|p| p.name).collect()
        };
        assert!(
            !names(DEFAULT_FEATURES)
                .iter()
                .any(|n| n.starts_with("Mail"))
        );
        assert!(!names(&[]).contains(&"SecurityEvents.Read.All"));
        assert!(names(&[Feature::Mail]).contains(&"Mail.Send"));
        assert!(!names(DEFAULT_FEATURES).contains(&"Directory.Read.All"));
    }

    #[test]
    fn only_mail_is_more_than_reading() {
        for permission in MANIFEST.iter().filter(|p| p.features != [Feature::Mail]) {
            assert!(permission.name.contains("Read"), "{}", permission.name);
        }
    }

    #[test]
    fn drift_has_two_sides() {
        let required = required(&[]);
        let mut granted: Vec<String> = required.iter().map(|p| p.name.to_owned()).collect();
        assert!(Drift::of(&required, &granted, true).is_none());
        granted.remove(0);
        granted.push("Mail.ReadWrite".into());
        let drift = Drift::of(&required, &granted, true);
        assert_eq!(drift.missing, ["Organization.Read.All"]);
        assert_eq!(drift.unexpected, ["Mail.ReadWrite"]);
    }
}
