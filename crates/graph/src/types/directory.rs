//! Organization, domains, users, groups, members, registration report.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{list, text, time};
use crate::Change;

/// `organization`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Organization {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default)]
    pub country_letter_code: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub verified_domains: Vec<VerifiedDomain>,
}

impl Organization {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] =
        &["id", "displayName", "countryLetterCode", "verifiedDomains"];
}

/// `verifiedDomain`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct VerifiedDomain {
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    #[serde(default)]
    pub is_default: Option<bool>,
    #[serde(default)]
    pub is_initial: Option<bool>,
}

/// `domain`; its id is its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Domain {
    pub id: String,
    #[serde(default)]
    pub authentication_type: Option<String>,
    #[serde(default)]
    pub is_default: Option<bool>,
    #[serde(default)]
    pub is_initial: Option<bool>,
    #[serde(default)]
    pub is_verified: Option<bool>,
    #[serde(default, deserialize_with = "list")]
    pub supported_services: Vec<String>,
}

impl Domain {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "authenticationType",
        "isDefault",
        "isInitial",
        "isVerified",
        "supportedServices",
    ];
}

/// `user`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct User {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default, deserialize_with = "text")]
    pub user_principal_name: String,
    #[serde(default)]
    pub mail: Option<String>,
    #[serde(default)]
    pub given_name: Option<String>,
    #[serde(default)]
    pub surname: Option<String>,
    #[serde(default)]
    pub job_title: Option<String>,
    #[serde(default)]
    pub department: Option<String>,
    #[serde(default)]
    pub office_location: Option<String>,
    #[serde(default)]
    pub company_name: Option<String>,
    #[serde(default)]
    pub employee_id: Option<String>,
    #[serde(default)]
    pub employee_type: Option<String>,
    #[serde(default)]
    pub on_premises_sam_account_name: Option<String>,
    #[serde(default)]
    pub usage_location: Option<String>,
    #[serde(default)]
    pub user_type: Option<String>,
    #[serde(default)]
    pub external_user_state: Option<String>,
    #[serde(default)]
    pub account_enabled: Option<bool>,
    #[serde(default)]
    pub on_premises_sync_enabled: Option<bool>,
    /// `None` when the property did not come: unknown, not unlicensed.
    #[serde(default)]
    pub assigned_licenses: Option<Vec<AssignedLicense>>,
    #[serde(default, deserialize_with = "time")]
    pub created_date_time: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time")]
    pub last_password_change_date_time: Option<DateTime<Utc>>,
}

impl User {
    /// What we ask for. Sign-in activity is not among it: it needs a licence, and without one the
    /// whole request fails.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "displayName",
        "userPrincipalName",
        "mail",
        "givenName",
        "surname",
        "jobTitle",
        "department",
        "officeLocation",
        "companyName",
        "employeeId",
        "employeeType",
        "onPremisesSamAccountName",
        "usageLocation",
        "userType",
        "externalUserState",
        "accountEnabled",
        "onPremisesSyncEnabled",
        "assignedLicenses",
        "createdDateTime",
        "lastPasswordChangeDateTime",
    ];
}

/// `assignedLicense`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct AssignedLicense {
    #[serde(default)]
    pub sku_id: Option<String>,
}

/// `group`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Group {
    pub id: String,
    #[serde(default, deserialize_with = "text")]
    pub display_name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub group_types: Vec<String>,
    #[serde(default)]
    pub security_enabled: Option<bool>,
    #[serde(default)]
    pub mail_enabled: Option<bool>,
    #[serde(default)]
    pub mail: Option<String>,
    #[serde(default)]
    pub visibility: Option<String>,
    #[serde(default)]
    pub membership_rule: Option<String>,
    #[serde(default)]
    pub is_assignable_to_role: Option<bool>,
    #[serde(default)]
    pub on_premises_sync_enabled: Option<bool>,
    #[serde(default, deserialize_with = "time")]
    pub created_date_time: Option<DateTime<Utc>>,
    /// At most twenty, where they were expanded.
    #[serde(default, deserialize_with = "list")]
    pub owners: Vec<DirectoryObject>,
    /// In a round of changes: who came and who left. A large group comes in several pieces.
    #[serde(default, rename = "members@delta", deserialize_with = "list")]
    pub members_delta: Vec<Change<DirectoryObject>>,
    /// In a round of changes: owners that came and left.
    #[serde(default, rename = "owners@delta", deserialize_with = "list")]
    pub owners_delta: Vec<Change<DirectoryObject>>,
}

impl Group {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "displayName",
        "description",
        "groupTypes",
        "securityEnabled",
        "mailEnabled",
        "mail",
        "visibility",
        "membershipRule",
        "isAssignableToRole",
        "onPremisesSyncEnabled",
        "createdDateTime",
    ];
}

impl DirectoryObject {
    /// Its kind without the prefix: `user`, `group`, `device`, `servicePrincipal`.
    pub fn kind(&self) -> &str {
        let kind = self.odata_type.as_deref().unwrap_or_default();
        kind.trim_start_matches("#microsoft.graph.")
    }
}

/// A member of a group: any `directoryObject`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct DirectoryObject {
    pub id: String,
    /// `#microsoft.graph.user` and the like.
    #[serde(default, rename = "@odata.type")]
    pub odata_type: Option<String>,
    /// `None` also where the application may not read objects of this type.
    #[serde(default)]
    pub display_name: Option<String>,
}

impl DirectoryObject {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &["id", "displayName"];
}

/// `userRegistrationDetails`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct UserRegistrationDetails {
    pub id: String,
    #[serde(default)]
    pub is_admin: Option<bool>,
    #[serde(default)]
    pub is_mfa_registered: Option<bool>,
    #[serde(default)]
    pub is_mfa_capable: Option<bool>,
    #[serde(default)]
    pub is_passwordless_capable: Option<bool>,
    #[serde(default, deserialize_with = "list")]
    pub methods_registered: Vec<String>,
    #[serde(default, deserialize_with = "time")]
    pub last_updated_date_time: Option<DateTime<Utc>>,
}
