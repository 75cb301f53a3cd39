//! The collectors: one file and one line in the table each.

mod app_role_assignments;
mod applications;
mod conditional_access_policies;
mod control_profiles;
mod devices;
mod directory_roles;
mod domains;
mod events;
mod group_members;
mod groups;
mod managed_devices;
mod mfa_registrations;
mod organization;
mod permissions;
mod risky_users;
mod role_assignments;
mod role_definitions;
mod role_eligibilities;
mod secure_scores;
mod service_principal_activities;
mod service_principals;
mod sign_in_activities;
mod subscribed_skus;
mod users;

use model::{RunKind, Timestamp, credential::Credential};

use crate::collector::Entry;

/// Of a directory, in the order of the page; what must come after another says so itself.
const DIRECTORY: &[Entry] = &[
    organization::ENTRY,
    permissions::ENTRY,
    Entry::of::<domains::Domains>(),
    Entry::of::<subscribed_skus::SubscribedSkus>(),
    Entry::of::<users::Users>(),
    groups::ENTRY,
    group_members::ENTRY,
    mfa_registrations::ENTRY,
    Entry::of::<devices::Devices>(),
    Entry::of::<managed_devices::ManagedDevices>(),
    applications::ENTRY,
    service_principals::ENTRY,
    app_role_assignments::ENTRY,
    Entry::of::<service_principal_activities::ServicePrincipalActivities>(),
    Entry::of::<directory_roles::DirectoryRoles>(),
    Entry::of::<role_definitions::RoleDefinitions>(),
    Entry::of::<role_assignments::RoleAssignments>(),
    Entry::of::<role_eligibilities::RoleEligibilities>(),
    Entry::of::<conditional_access_policies::ConditionalAccessPolicies>(),
    Entry::of::<risky_users::RiskyUsers>(),
    events::RISK_DETECTIONS,
    events::DIRECTORY_AUDITS,
    events::SIGN_INS,
];

const SECURE_SCORE: &[Entry] = &[
    secure_scores::ENTRY,
    Entry::of::<control_profiles::ControlProfiles>(),
];

const SIGN_IN_ACTIVITY: &[Entry] = &[Entry::of::<sign_in_activities::SignInActivities>()];

/// The collectors of a kind of runs.
pub(crate) fn of(kind: RunKind) -> &'static [Entry] {
    match kind {
        RunKind::Directory => DIRECTORY,
        RunKind::SecureScore => SECURE_SCORE,
        RunKind::SignInActivity => SIGN_IN_ACTIVITY,
    }
}

/// Names of a kind's collectors.
pub fn names(kind: RunKind) -> impl Iterator<Item = &'static str> {
    of(kind).iter().map(|entry| entry.name)
}

impl Entry {
    /// Whether its feature is switched on for a credential.
    pub(crate) fn is_used_by(&self, credential: &Credential) -> bool {
        self.feature.is_none_or(|feature| credential.uses(feature))
    }
}

/// A list of strings as the JSON array that a text column keeps.
fn json_list(list: &[String]) -> String {
    serde_json::to_string(list).unwrap_or_else(|_| "[]".into())
}

/// A moment; the year 1 stands for none (seen in the wild, where the type has no null).
fn real(at: Option<chrono::DateTime<chrono::Utc>>) -> Option<Timestamp> {
    at.filter(|at| at.timestamp() > 0).map(Into::into)
}
