//! Registrations, service principals and what was granted to them; licences; a partner's customers.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{list, text, time};

/// `application`: a registration, in the directory in which it lives.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Application {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default)]
    pub sign_in_audience: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub app_id: String,
    #[serde(default)]
    pub publisher_domain: Option<String>,
    #[serde(default)]
    pub verified_publisher: Option<VerifiedPublisher>,
    #[serde(default)]
    pub disabled_by_microsoft_status: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub created_date_time: Option<DateTime<Utc>>,
    /// At most twenty, where they were expanded.
    #[serde(default, deserialize_with = "list")]
    pub owners: Vec<Owner>,
    #[serde(default)]
    pub web: Option<WebApplication>,
    #[serde(default, deserialize_with = "list")]
    pub required_resource_access: Vec<RequiredResourceAccess>,
    #[serde(default, deserialize_with = "list")]
    pub password_credentials: Vec<PasswordCredential>,
    #[serde(default, deserialize_with = "list")]
    pub key_credentials: Vec<KeyCredential>,
}

impl Application {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "displayName",
        "signInAudience",
        "web",
        "requiredResourceAccess",
        "passwordCredentials",
        "keyCredentials",
    ];

    /// What an inventory asks for.
    pub const LISTED: &'static [&'static str] = &[
        "id",
        "appId",
        "displayName",
        "createdDateTime",
        "publisherDomain",
        "verifiedPublisher",
        "signInAudience",
        "disabledByMicrosoftStatus",
        "passwordCredentials",
        "keyCredentials",
    ];
}

/// `verifiedPublisher`; without a name there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct VerifiedPublisher {
    #[serde(default)]
    pub display_name: Option<String>,
}

/// An owner: any `directoryObject`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Owner {
    pub id: String,
    #[serde(default, rename = "@odata.type")]
    pub odata_type: Option<String>,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub user_principal_name: Option<String>,
}

impl Owner {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &["id", "displayName", "userPrincipalName"];
}

/// `webApplication`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct WebApplication {
    #[serde(default, deserialize_with = "list")]
    pub redirect_uris: Vec<String>,
}

/// `requiredResourceAccess`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct RequiredResourceAccess {
    #[serde(default, deserialize_with = "text")]
    pub resource_app_id: String,
    #[serde(default, deserialize_with = "list")]
    pub resource_access: Vec<ResourceAccess>,
}

/// `resourceAccess`: `type` is `Role` (application) or `Scope` (delegated).
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct ResourceAccess {
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    #[serde(default, deserialize_with = "text", rename = "type")]
    pub kind: String,
}

/// `passwordCredential`: a client secret. `hint` is its first three characters.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PasswordCredential {
    #[serde(default)]
    pub hint: Option<String>,
    #[serde(default)]
    pub key_id: Option<String>,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub start_date_time: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time")]
    pub end_date_time: Option<DateTime<Utc>>,
}

/// `keyCredential`: a certificate. `custom_key_identifier` holds its SHA-1.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct KeyCredential {
    #[serde(default)]
    pub custom_key_identifier: Option<String>,
    #[serde(default)]
    pub key_id: Option<String>,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub start_date_time: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time")]
    pub end_date_time: Option<DateTime<Utc>>,
}

/// `servicePrincipal`: an application as one directory sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ServicePrincipal {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub app_id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default)]
    pub service_principal_type: Option<String>,
    #[serde(default)]
    pub account_enabled: Option<bool>,
    #[serde(default)]
    pub app_role_assignment_required: Option<bool>,
    #[serde(default)]
    pub verified_publisher: Option<VerifiedPublisher>,
    #[serde(default, deserialize_with = "list")]
    pub alternative_names: Vec<String>,
    #[serde(default)]
    pub app_owner_organization_id: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub app_roles: Vec<AppRole>,
}

impl ServicePrincipal {
    /// What an inventory asks for.
    pub const LISTED: &'static [&'static str] = &[
        "id",
        "appId",
        "displayName",
        "servicePrincipalType",
        "accountEnabled",
        "appOwnerOrganizationId",
        "appRoleAssignmentRequired",
        "verifiedPublisher",
        "alternativeNames",
        "appRoles",
    ];
}

/// `appRole`: an application permission of a resource.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs)]
pub struct AppRole {
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    #[serde(default)]
    pub value: Option<String>,
}

/// `appRoleAssignment`: an application permission that was granted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct AppRoleAssignment {
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub principal_id: String,
    /// `ServicePrincipal`, `User` or `Group`.
    #[serde(default)]
    pub principal_type: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub resource_id: String,
    #[serde(default, deserialize_with = "time")]
    pub created_date_time: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "text")]
    pub app_role_id: String,
    #[serde(default)]
    pub resource_display_name: Option<String>,
}

/// `unifiedRoleAssignment` with its principal.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct RoleAssignment {
    #[serde(default, deserialize_with = "text")]
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub principal_id: String,
    #[serde(default, deserialize_with = "text")]
    pub role_definition_id: String,
    #[serde(default)]
    pub directory_scope_id: Option<String>,
    #[serde(default)]
    pub principal: Option<super::DirectoryObject>,
}

/// `subscribedSku`: a licence that the directory subscribes to.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SubscribedSku {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub sku_id: String,
    #[serde(default, deserialize_with = "text")]
    pub sku_part_number: String,
    #[serde(default)]
    pub capability_status: Option<String>,
    #[serde(default)]
    pub applies_to: Option<String>,
    #[serde(default)]
    pub consumed_units: Option<i64>,
    #[serde(default)]
    pub prepaid_units: Option<LicenseUnitsDetail>,
    #[serde(default, deserialize_with = "list")]
    pub service_plans: Vec<ServicePlanInfo>,
}

/// `licenseUnitsDetail`, in seats.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(missing_docs)]
pub struct LicenseUnitsDetail {
    #[serde(default)]
    pub enabled: Option<i64>,
    #[serde(default)]
    pub suspended: Option<i64>,
    #[serde(default)]
    pub warning: Option<i64>,
}

/// `servicePlanInfo`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ServicePlanInfo {
    #[serde(default, deserialize_with = "text")]
    pub service_plan_name: String,
    #[serde(default)]
    pub provisioning_status: Option<String>,
}

/// `delegatedAdminCustomer`: a customer of the partner's delegated administration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct DelegatedAdminCustomer {
    #[serde(default, deserialize_with = "text")]
    pub tenant_id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
}

/// `delegatedAdminRelationship`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct DelegatedAdminRelationship {
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub end_date_time: Option<DateTime<Utc>>,
    #[serde(default)]
    pub customer: Option<DelegatedAdminCustomer>,
}

/// `contract`: a reseller's relation to a customer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Contract {
    #[serde(default, deserialize_with = "text")]
    pub customer_id: String,
    #[serde(default, deserialize_with = "text")]
    pub default_domain_name: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default)]
    pub contract_type: Option<String>,
}

/// `tenantInformation`: what any tenant may know of another.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct TenantInformation {
    #[serde(default, deserialize_with = "text")]
    pub tenant_id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default, deserialize_with = "text")]
    pub default_domain_name: String,
}
