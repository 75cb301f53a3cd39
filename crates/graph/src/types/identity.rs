//! Devices, roles, conditional access, risk, logs: types of which we keep what pages and evidence
//! name. Members that do not come, or come as null, are `None`.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{list, text, time};

/// Defines wire types whose members are all optional but the id and texts that are always there.
macro_rules! wire {
    ($($(#[$doc:meta])+ $name:ident {
        $($(#[$attribute:meta])* $field:ident : $type:ty),+ $(,)?
    })+) => { $(
        $(#[$doc])+
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(missing_docs)]
        pub struct $name { $($(#[$attribute])* pub $field: $type),+ }
    )+ };
}

wire! {
    /// `device`.
    Device {
        id: String,
        #[serde(deserialize_with = "text")] display_name: String,
        device_id: Option<String>,
        operating_system: Option<String>,
        operating_system_version: Option<String>,
        manufacturer: Option<String>,
        model: Option<String>,
        trust_type: Option<String>,
        is_compliant: Option<bool>,
        is_managed: Option<bool>,
        account_enabled: Option<bool>,
        #[serde(deserialize_with = "time")] approximate_last_sign_in_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] registration_date_time: Option<DateTime<Utc>>,
    }
    /// `managedDevice`, of Intune; a date of the year 1 stands for none.
    ManagedDevice {
        id: String,
        #[serde(deserialize_with = "text")] device_name: String,
        #[serde(rename = "azureADDeviceId")] azure_ad_device_id: Option<String>,
        user_principal_name: Option<String>,
        operating_system: Option<String>,
        os_version: Option<String>,
        compliance_state: Option<String>,
        managed_device_owner_type: Option<String>,
        management_agent: Option<String>,
        is_encrypted: Option<bool>,
        jail_broken: Option<String>,
        manufacturer: Option<String>,
        model: Option<String>,
        serial_number: Option<String>,
        #[serde(deserialize_with = "time")] enrolled_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] last_sync_date_time: Option<DateTime<Utc>>,
    }
    /// `directoryRole`: one that was activated.
    DirectoryRole {
        id: String,
        #[serde(deserialize_with = "text")] display_name: String,
        description: Option<String>,
        role_template_id: Option<String>,
    }
    /// `unifiedRoleDefinition`.
    RoleDefinition {
        id: String,
        #[serde(deserialize_with = "text")] display_name: String,
        description: Option<String>,
        template_id: Option<String>,
        is_built_in: Option<bool>,
        is_enabled: Option<bool>,
    }
    /// `unifiedRoleEligibilityScheduleInstance`.
    RoleEligibility {
        id: String,
        #[serde(deserialize_with = "text")] principal_id: String,
        #[serde(deserialize_with = "text")] role_definition_id: String,
        directory_scope_id: Option<String>,
        member_type: Option<String>,
        #[serde(deserialize_with = "time")] start_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] end_date_time: Option<DateTime<Utc>>,
        principal: Option<super::DirectoryObject>,
    }
    /// `conditionalAccessPolicy`; conditions and controls as they come.
    ConditionalAccessPolicy {
        id: String,
        #[serde(deserialize_with = "text")] display_name: String,
        #[serde(deserialize_with = "text")] state: String,
        template_id: Option<String>,
        conditions: Option<Box<RawValue>>,
        grant_controls: Option<Box<RawValue>>,
        session_controls: Option<Box<RawValue>>,
        #[serde(deserialize_with = "time")] created_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] modified_date_time: Option<DateTime<Utc>>,
    }
    /// `riskyUser`; the id is the user's.
    RiskyUser {
        id: String,
        is_deleted: Option<bool>,
        risk_level: Option<String>,
        risk_state: Option<String>,
        risk_detail: Option<String>,
        #[serde(deserialize_with = "time")] risk_last_updated_date_time: Option<DateTime<Utc>>,
        user_display_name: Option<String>,
        user_principal_name: Option<String>,
    }
    /// `signInLocation`.
    Location {
        city: Option<String>,
        country_or_region: Option<String>,
    }
    /// `riskDetection`.
    RiskDetection {
        id: String,
        user_id: Option<String>,
        user_display_name: Option<String>,
        user_principal_name: Option<String>,
        risk_event_type: Option<String>,
        risk_level: Option<String>,
        risk_state: Option<String>,
        risk_detail: Option<String>,
        source: Option<String>,
        activity: Option<String>,
        ip_address: Option<String>,
        location: Option<Location>,
        #[serde(deserialize_with = "time")] detected_date_time: Option<DateTime<Utc>>,
    }
    /// Who a directory audit names: a user or an application.
    AuditIdentity {
        display_name: Option<String>,
        user_principal_name: Option<String>,
    }
    /// `auditActivityInitiator`.
    AuditInitiator {
        user: Option<AuditIdentity>,
        app: Option<AuditIdentity>,
    }
    /// `targetResource`.
    AuditTarget {
        display_name: Option<String>,
        user_principal_name: Option<String>,
        #[serde(rename = "type")] kind: Option<String>,
        id: Option<String>,
    }
    /// `directoryAudit`.
    DirectoryAudit {
        id: String,
        #[serde(deserialize_with = "text")] activity_display_name: String,
        #[serde(deserialize_with = "text")] category: String,
        result: Option<String>,
        result_reason: Option<String>,
        logged_by_service: Option<String>,
        operation_type: Option<String>,
        initiated_by: Option<AuditInitiator>,
        #[serde(deserialize_with = "list")] target_resources: Vec<AuditTarget>,
        #[serde(deserialize_with = "time")] activity_date_time: Option<DateTime<Utc>>,
    }
    /// `signInStatus`: code 0 is success.
    SignInStatus {
        error_code: Option<i64>,
        failure_reason: Option<String>,
    }
    /// `signIn`.
    SignIn {
        id: String,
        user_id: Option<String>,
        user_display_name: Option<String>,
        user_principal_name: Option<String>,
        app_display_name: Option<String>,
        client_app_used: Option<String>,
        ip_address: Option<String>,
        location: Option<Location>,
        risk_level_during_sign_in: Option<String>,
        risk_state: Option<String>,
        conditional_access_status: Option<String>,
        status: Option<SignInStatus>,
        #[serde(deserialize_with = "time")] created_date_time: Option<DateTime<Utc>>,
    }
    /// `signInActivity` of a user.
    SignInActivity {
        #[serde(deserialize_with = "time")] last_sign_in_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] last_non_interactive_sign_in_date_time: Option<DateTime<Utc>>,
        #[serde(deserialize_with = "time")] last_successful_sign_in_date_time: Option<DateTime<Utc>>,
    }
    /// A user, of whom only the activity was asked for.
    UserActivity {
        id: String,
        sign_in_activity: Option<SignInActivity>,
    }
    /// `signInActivity` of an application.
    ApplicationActivity {
        #[serde(deserialize_with = "time")] last_sign_in_date_time: Option<DateTime<Utc>>,
    }
    /// `servicePrincipalSignInActivity`, of the preview version alone.
    ServicePrincipalActivity {
        #[serde(deserialize_with = "text")] app_id: String,
        last_sign_in_activity: Option<ApplicationActivity>,
        delegated_client_sign_in_activity: Option<ApplicationActivity>,
        application_authentication_client_sign_in_activity: Option<ApplicationActivity>,
    }
}

impl Device {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "displayName",
        "deviceId",
        "operatingSystem",
        "operatingSystemVersion",
        "manufacturer",
        "model",
        "trustType",
        "isCompliant",
        "isManaged",
        "accountEnabled",
        "approximateLastSignInDateTime",
        "registrationDateTime",
    ];
}

impl ManagedDevice {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "deviceName",
        "azureADDeviceId",
        "userPrincipalName",
        "operatingSystem",
        "osVersion",
        "complianceState",
        "managedDeviceOwnerType",
        "managementAgent",
        "isEncrypted",
        "jailBroken",
        "manufacturer",
        "model",
        "serialNumber",
        "enrolledDateTime",
        "lastSyncDateTime",
    ];
}

impl DirectoryRole {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] =
        &["id", "displayName", "description", "roleTemplateId"];
}

impl RoleDefinition {
    /// What we ask for.
    pub const SELECT: &'static [&'static str] = &[
        "id",
        "displayName",
        "description",
        "templateId",
        "isBuiltIn",
        "isEnabled",
    ];
}
