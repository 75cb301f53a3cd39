//! What syncs read: the table of objects, how a run writes them ([`Stage`]), and what readers see of
//! them ([`Snapshot`]).
//!
//! A row is one version of an object (docs/adr/0007-snapshots.md): it counts from generation `since`
//! until generation `until`. A run writes versions of a generation that nobody sees yet; when it
//! ends, one update of its snapshot shows them all at once. What was superseded or removed stays as
//! the object's history.

use sea_orm::Value;
use serde::Serialize;

use crate::{RunKind, Timestamp};

mod collection;
mod known;
mod publish;
mod record;
mod snapshot;
mod stage;
mod write;

pub use collection::{Collection, Hold, collections, confirm, holds};
pub use known::{newest_score_day, resources, users};
pub use record::{Cell, History, Record, Sort, children, count, history, list, of_parents, record};
pub(crate) use record::{all_of, behind};
pub use snapshot::Snapshot;
pub use stage::{Progress, Stage};

/// `until` of a version that is current.
pub(crate) const OPEN: i64 = i64::MAX;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// A text; lists and structures are JSON.
    Text,
    /// Yes or no.
    Boolean,
    /// A whole number.
    Number,
    /// Points.
    Points,
    /// A moment.
    Time,
}

/// A Rust type that a column holds.
pub trait Column {
    /// What it is in a table.
    const FIELD: Field;
}

macro_rules! columns {
    ($($type:ty => $field:ident),+ $(,)?) => { $(
        impl Column for $type { const FIELD: Field = Field::$field; }
        impl Column for Option<$type> { const FIELD: Field = Field::$field; }
    )+ };
}
columns!(String => Text, bool => Boolean, i64 => Number, f64 => Points, Timestamp => Time);

/// A table of objects, for what treats all alike.
#[derive(Debug)]
pub struct Table {
    /// Its name in the database.
    pub name: &'static str,
    /// The kind of runs that write it.
    pub kind: RunKind,
    /// The key column of what its objects belong to, if any.
    pub parent: Option<&'static str>,
    /// Content columns.
    pub columns: &'static [(&'static str, Field)],
}

/// A row of one inventory table as a collector makes it.
pub trait Object: Serialize + Send + Sync + 'static {
    /// Its table.
    const TABLE: &'static Table;
    /// Microsoft's id of the object.
    fn id(&self) -> &str;
    /// The object that it belongs to, where the table has a parent.
    fn parent(&self) -> &str;
    /// Appends the values of the content columns, in order.
    fn values(self, into: &mut Vec<Value>);
}

macro_rules! objects {
    ($($(#[$doc:meta])+ $name:ident in $table:literal of $kind:ident $(under $parent:ident)? {
        $($(#[$attribute:meta])* $field:ident : $type:ty),+ $(,)?
    })+) => {
        $(
        $(#[$doc])+
        #[derive(Debug, Clone, Serialize)]
        #[allow(missing_docs)]
        pub struct $name {
            $(pub $parent: String,)?
            pub id: String,
            $($(#[$attribute])* pub $field: $type),+
        }

        impl Object for $name {
            const TABLE: &'static Table = &Table {
                name: $table,
                kind: RunKind::$kind,
                parent: objects!(@parent $($parent)?),
                columns: &[$((stringify!($field), <$type as Column>::FIELD)),+],
            };
            fn id(&self) -> &str { &self.id }
            fn parent(&self) -> &str { objects!(@value self $($parent)?) }
            fn values(self, into: &mut Vec<Value>) { $(into.push(self.$field.into());)+ }
        }
        )+

        /// All tables of objects.
        pub const TABLES: &[&Table] = &[$(<$name as Object>::TABLE),+];
    };
    (@parent) => { None };
    (@parent $parent:ident) => { Some(stringify!($parent)) };
    (@value $self:ident) => { "" };
    (@value $self:ident $parent:ident) => { &$self.$parent };
}

objects! {
    /// A user; the fields are Graph's `user` properties.
    UserRow in "users" of Directory {
        display_name: String, user_principal_name: String, mail: Option<String>,
        given_name: Option<String>, surname: Option<String>, job_title: Option<String>,
        department: Option<String>, office_location: Option<String>, company_name: Option<String>,
        employee_id: Option<String>, employee_type: Option<String>,
        on_premises_sam_account_name: Option<String>,
        usage_location: Option<String>, user_type: Option<String>,
        external_user_state: Option<String>, account_enabled: Option<bool>,
        on_premises_sync_enabled: Option<bool>, licences: Option<String>, licensed: Option<bool>,
        account_created_at: Option<Timestamp>, last_password_change_at: Option<Timestamp>,
    }
    /// A line of the registration report; the fields are Graph's `userRegistrationDetails`.
    MfaRow in "mfa_registrations" of Directory {
        is_admin: Option<bool>, is_mfa_registered: Option<bool>, is_mfa_capable: Option<bool>,
        is_passwordless_capable: Option<bool>, methods: Option<String>,
        // When the report was made says nothing of the person.
        #[serde(skip)] reported_at: Option<Timestamp>,
    }
    /// A group; `kind` is derived as `docs/architecture.md` says.
    GroupRow in "groups" of Directory {
        display_name: String, description: Option<String>, kind: String,
        membership_rule: Option<String>, mail: Option<String>, visibility: Option<String>,
        security_enabled: Option<bool>, mail_enabled: Option<bool>,
        is_assignable_to_role: Option<bool>, on_premises_sync_enabled: Option<bool>,
        group_created_at: Option<Timestamp>,
    }
    /// A member of the group that the page belongs to.
    MemberRow in "group_members" of Directory under group_id {
        member_type: String,
        // Its own table knows the name better; this is for members of types that are not read.
        #[serde(skip)] display_name: Option<String>,
    }
    /// A domain; its id is its name.
    DomainRow in "domains" of Directory {
        authentication_type: Option<String>, is_default: Option<bool>, is_initial: Option<bool>,
        is_verified: Option<bool>, supported_services: Option<String>,
    }
    /// A licence of the directory; the fields are Graph's `subscribedSku` properties, units are seats.
    SkuRow in "subscribed_skus" of Directory {
        sku_id: String, sku_part_number: String, capability_status: Option<String>,
        applies_to: Option<String>, enabled_units: Option<i64>, suspended_units: Option<i64>,
        warning_units: Option<i64>, consumed_units: Option<i64>, service_plans: String,
    }
    /// Secure Score of a day, in points.
    ScoreRow in "secure_scores" of SecureScore {
        day: String, current_score: f64, max_score: f64, active_user_count: Option<i64>,
        licensed_user_count: Option<i64>, enabled_services: String, averages: String,
    }
    /// A control's points on the day that the page belongs to.
    ControlScoreRow in "control_scores" of SecureScore under day {
        category: String, score: Option<f64>, score_in_percentage: Option<f64>,
        implementation_status: Option<String>, description: Option<String>,
        last_synced_at: Option<Timestamp>,
    }
    /// A control's profile.
    ControlProfileRow in "control_profiles" of SecureScore {
        title: String, category: String, max_score: Option<f64>, rank: Option<i64>,
        action_type: Option<String>, action_url: Option<String>, service: Option<String>,
        tier: Option<String>, threats: String, user_impact: Option<String>,
        implementation_cost: Option<String>, remediation: Option<String>,
        remediation_impact: Option<String>, state: Option<String>, deprecated: Option<bool>,
    }
    /// When a user signed in last; `None` is never, as far as Microsoft knows.
    SignInActivityRow in "sign_in_activities" of SignInActivity {
        last_sign_in_at: Option<Timestamp>, last_non_interactive_sign_in_at: Option<Timestamp>,
        last_successful_sign_in_at: Option<Timestamp>,
    }
    /// An owner of a group.
    GroupOwnerRow in "group_owners" of Directory under group_id {
        owner_type: String, display_name: Option<String>,
    }
    /// An app registration. `credentials_end_at` is the end of the first of its secrets and
    /// certificates to end.
    ApplicationRow in "applications" of Directory {
        display_name: String, app_id: String, publisher_domain: Option<String>,
        verified_publisher: Option<String>, sign_in_audience: Option<String>,
        disabled_by_microsoft: Option<String>, secrets: Option<i64>, certificates: Option<i64>,
        credentials_end_at: Option<Timestamp>, app_created_at: Option<Timestamp>,
    }
    /// An owner of an app registration.
    ApplicationOwnerRow in "application_owners" of Directory under application_id {
        owner_type: String, display_name: Option<String>, user_principal_name: Option<String>,
    }
    /// A secret or certificate of an app registration; its id is Graph's `keyId`.
    ApplicationCredentialRow in "application_credentials" of Directory under application_id {
        kind: String, display_name: Option<String>, starts_at: Option<Timestamp>,
        ends_at: Option<Timestamp>,
    }
    /// A service principal; a managed identity is one whose `kind` says so.
    ServicePrincipalRow in "service_principals" of Directory {
        display_name: String, app_id: String, kind: Option<String>, account_enabled: Option<bool>,
        publisher: Option<String>, app_owner_organization_id: Option<String>,
        app_role_assignment_required: Option<bool>, associated_resource: Option<String>,
        identity_kind: Option<String>, app_roles: String,
    }
    /// An application role that a service principal was given.
    AppRoleAssignmentRow in "app_role_assignments" of Directory under principal_id {
        app_role_id: String, resource_id: String, resource_display_name: Option<String>,
        assigned_at: Option<Timestamp>,
    }
    /// When an application signed in last; the id is its application (client) id.
    ServicePrincipalActivityRow in "service_principal_activities" of Directory {
        last_sign_in_at: Option<Timestamp>, last_delegated_sign_in_at: Option<Timestamp>,
        last_application_sign_in_at: Option<Timestamp>,
    }
    /// A device; the fields are Graph's `device` properties.
    DeviceRow in "devices" of Directory {
        display_name: String, device_id: Option<String>, operating_system: Option<String>,
        operating_system_version: Option<String>, manufacturer: Option<String>,
        model: Option<String>, trust_type: Option<String>, is_compliant: Option<bool>,
        is_managed: Option<bool>, account_enabled: Option<bool>,
        last_sign_in_at: Option<Timestamp>, registered_at: Option<Timestamp>,
    }
    /// A device as Intune manages it.
    ManagedDeviceRow in "managed_devices" of Directory {
        display_name: String, device_id: Option<String>, user_principal_name: Option<String>,
        operating_system: Option<String>, os_version: Option<String>,
        compliance_state: Option<String>, owner_type: Option<String>,
        management_agent: Option<String>, is_encrypted: Option<bool>,
        jail_broken: Option<String>, manufacturer: Option<String>, model: Option<String>,
        serial_number: Option<String>, enrolled_at: Option<Timestamp>,
        last_sync_at: Option<Timestamp>,
    }
    /// A directory role that was activated by its first assignment.
    DirectoryRoleRow in "directory_roles" of Directory {
        display_name: String, description: Option<String>, role_template_id: Option<String>,
    }
    /// A role that the directory knows.
    RoleDefinitionRow in "role_definitions" of Directory {
        display_name: String, description: Option<String>, template_id: Option<String>,
        is_built_in: Option<bool>, is_enabled: Option<bool>,
    }
    /// Who has a role; the scope `/` is the whole directory.
    RoleAssignmentRow in "role_assignments" of Directory {
        principal_id: String, principal_type: Option<String>, principal_name: Option<String>,
        role_definition_id: String, directory_scope_id: Option<String>,
    }
    /// Who may take a role by Privileged Identity Management.
    RoleEligibilityRow in "role_eligibilities" of Directory {
        principal_id: String, principal_type: Option<String>, principal_name: Option<String>,
        role_definition_id: String, directory_scope_id: Option<String>,
        member_type: Option<String>, starts_at: Option<Timestamp>, ends_at: Option<Timestamp>,
    }
    /// A conditional access policy; conditions and controls are Graph's JSON.
    ConditionalAccessPolicyRow in "conditional_access_policies" of Directory {
        display_name: String, state: String, conditions: String, grant_controls: Option<String>,
        session_controls: Option<String>, template_id: Option<String>,
        policy_created_at: Option<Timestamp>, policy_modified_at: Option<Timestamp>,
    }
    /// A user at risk; the id is the user's.
    RiskyUserRow in "risky_users" of Directory {
        display_name: Option<String>, user_principal_name: Option<String>,
        risk_level: Option<String>, risk_state: Option<String>, risk_detail: Option<String>,
        risk_updated_at: Option<Timestamp>,
    }
    /// A risk that Microsoft detected.
    RiskDetectionRow in "risk_detections" of Directory {
        user_id: Option<String>, display_name: Option<String>, user_principal_name: Option<String>,
        risk_event_type: Option<String>, risk_level: Option<String>, risk_state: Option<String>,
        risk_detail: Option<String>, source: Option<String>, activity: Option<String>,
        ip_address: Option<String>, city: Option<String>, country: Option<String>,
        detected_at: Option<Timestamp>,
    }
    /// A change of the directory that evidence needs.
    DirectoryAuditRow in "directory_audits" of Directory {
        activity: String, category: String, result: Option<String>, result_reason: Option<String>,
        service: Option<String>, operation_type: Option<String>, initiated_by: Option<String>,
        targets: String, activity_at: Option<Timestamp>,
    }
    /// A sign-in at risk.
    SignInRow in "sign_ins" of Directory {
        user_id: Option<String>, display_name: Option<String>, user_principal_name: Option<String>,
        app_display_name: Option<String>, client_app: Option<String>, ip_address: Option<String>,
        city: Option<String>, country: Option<String>, risk_level: Option<String>,
        risk_state: Option<String>, conditional_access_status: Option<String>,
        error_code: Option<i64>, failure_reason: Option<String>, signed_in_at: Option<Timestamp>,
    }
}
