//! Wire models: what we read of Graph's types. Unknown members are ignored and nulls survive, so a
//! new property or a missing one never fails a page.

mod application;
mod directory;
mod identity;
mod secure_score;

pub use application::{
    AppRole, AppRoleAssignment, Application, Contract, DelegatedAdminCustomer,
    DelegatedAdminRelationship, KeyCredential, LicenseUnitsDetail, Owner, PasswordCredential,
    RequiredResourceAccess, ResourceAccess, RoleAssignment, ServicePlanInfo, ServicePrincipal,
    SubscribedSku, TenantInformation, VerifiedPublisher, WebApplication,
};
pub use directory::{
    AssignedLicense, DirectoryObject, Domain, Group, Organization, User, UserRegistrationDetails,
    VerifiedDomain,
};
pub use identity::{
    ApplicationActivity, AuditIdentity, AuditInitiator, AuditTarget, ConditionalAccessPolicy,
    Device, DirectoryAudit, DirectoryRole, Location, ManagedDevice, RiskDetection, RiskyUser,
    RoleDefinition, RoleEligibility, ServicePrincipalActivity, SignIn, SignInActivity,
    SignInStatus, UserActivity,
};
pub use secure_score::{
    AverageComparativeScore, ControlScore, ControlStateUpdate, SecureScore,
    SecureScoreControlProfile,
};

use serde::{Deserialize, Deserializer};

/// `null` where a list belongs reads as an empty one.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// `null` where a string belongs reads as an empty one.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// A number or a string that holds one: both forms were seen for scores.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Either>::deserialize(deserializer)? {
        Some(Either::Number(n)) => Some(n),
        Some(Either::Text(text)) => text.trim().parse().ok(),
        Some(Either::Other(_)) | None => None,
    }
    .filter(|n: &f64| n.is_finite()))
}

/// A time, or nothing where it cannot be read.
pub(crate) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<chrono::DateTime<chrono::Utc>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|t| {
        chrono::DateTime::parse_from_rfc3339(&t)
            .ok()
            .map(|t| t.with_timezone(&chrono::Utc))
    }))
}
