//! The collectors and which run kind they belong to. Adding one is a file here and a line in
//! [`names`] and [`run`].

mod control_profiles;
mod domains;
mod group_members;
mod groups;
mod mfa_registrations;
mod organization;
mod permissions;
mod secure_scores;
mod subscribed_skus;
mod users;

use model::{Feature, RunKind, credential::Credential};

use crate::collector::{Collector, Pass, Stop, collect};

/// Names of a kind's collectors, in the order in which they run.
pub fn names(kind: RunKind) -> &'static [&'static str] {
    match kind {
        RunKind::Directory => &[
            organization::NAME,
            permissions::NAME,
            domains::Domains::NAME,
            subscribed_skus::SubscribedSkus::NAME,
            users::Users::NAME,
            groups::Groups::NAME,
            group_members::NAME,
            mfa_registrations::MfaRegistrations::NAME,
        ],
        RunKind::SecureScore => &[secure_scores::NAME, control_profiles::ControlProfiles::NAME],
    }
}

/// Whether a collector's feature is switched on for a credential.
pub(crate) fn is_used(name: &str, credential: &Credential) -> bool {
    name != mfa_registrations::MfaRegistrations::NAME || credential.uses(Feature::Mfa)
}

/// Groups, whose members follow.
pub(crate) const GROUPS: &str = groups::Groups::NAME;
/// Members of the groups that the run read.
pub(crate) const GROUP_MEMBERS: &str = group_members::NAME;

/// The permission that a collector needs.
pub(crate) fn permission(name: &str) -> &'static str {
    match name {
        "organization" => organization::PERMISSION,
        permissions::NAME => permissions::PERMISSION,
        "subscribed_skus" => subscribed_skus::SubscribedSkus::PERMISSION,
        "domains" => domains::Domains::PERMISSION,
        "users" => users::Users::PERMISSION,
        "groups" | "group_members" => groups::Groups::PERMISSION,
        "mfa_registrations" => mfa_registrations::MfaRegistrations::PERMISSION,
        _ => secure_scores::PERMISSION,
    }
}

/// Runs one collector to its end.
pub(crate) async fn run(name: &str, pass: &Pass<'_>) -> Result<(), Stop> {
    match name {
        organization::NAME => organization::collect(pass).await,
        permissions::NAME => permissions::collect(pass).await,
        "domains" => collect::<domains::Domains>(pass).await,
        "subscribed_skus" => collect::<subscribed_skus::SubscribedSkus>(pass).await,
        "users" => collect::<users::Users>(pass).await,
        "groups" => collect::<groups::Groups>(pass).await,
        group_members::NAME => group_members::collect(pass).await,
        "mfa_registrations" => collect::<mfa_registrations::MfaRegistrations>(pass).await,
        secure_scores::NAME => secure_scores::collect(pass).await,
        "control_profiles" if pass.cloud.has_secure_scores => {
            collect::<control_profiles::ControlProfiles>(pass).await
        }
        _ => Err(Stop::NotHere("This cloud does not have it.")),
    }
}

/// How many objects a collector will likely read: as many as are stored.
pub(crate) async fn expected(name: &str, pass: &Pass<'_>) -> model::Result<Option<i64>> {
    use model::inventory::{GroupRow, MemberRow, MfaRow, UserRow, present};
    let stored = match name {
        "users" => present::<UserRow>(pass.lease).await?,
        "groups" => present::<GroupRow>(pass.lease).await?,
        "group_members" => present::<MemberRow>(pass.lease).await?,
        "mfa_registrations" => present::<MfaRow>(pass.lease).await?,
        _ => 0,
    };
    Ok((stored > 0).then_some(stored))
}

/// A list of strings as the JSON array that a text column keeps.
fn json_list(list: &[String]) -> String {
    serde_json::to_string(list).unwrap_or_else(|_| "[]".into())
}
