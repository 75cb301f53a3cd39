//! What a request counts as: the service that answers it, and its resource units.

use crate::Request;

/// Microsoft's service behind a path: limits are per service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Service {
    /// Identity and access: users, groups, applications, devices, roles.
    Directory,
    /// Reports of the identity and access service, and its logs.
    Reports,
    /// Users with `signInActivity`.
    SignInActivity,
    /// Identity protection and conditional access.
    Protection,
    /// Secure score.
    Security,
    /// Intune.
    Intune,
}

impl Service {
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.path();
        if path.starts_with("/reports/") || path.starts_with("/auditLogs/") {
            Self::Reports
        } else if path.starts_with("/identityProtection/")
            || path.starts_with("/identity/conditionalAccess/")
        {
            Self::Protection
        } else if path.starts_with("/security/") {
            Self::Security
        } else if path.starts_with("/deviceManagement/") {
            Self::Intune
        } else if request.query.contains("signInActivity") {
            Self::SignInActivity
        } else {
            Self::Directory
        }
    }
}

/// What a request is charged as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) service: Service,
    /// Resource units, of the directory alone.
    pub(crate) units: u32,
    /// Whether it reads `keyCredentials`, which has a limit of its own.
    pub(crate) keys: bool,
}

impl Charge {
    /// Source: Microsoft's table of resource units: a base by path, one less with `$select`, one
    /// more with `$expand`, never below one.
    pub(crate) fn of(request: &Request) -> Self {
        let path = request.path();
        let base: i32 = if path.ends_with("/transitiveMembers") {
            5
        } else if path.ends_with("/members") || matches!(path, "/contracts" | "/subscribedSkus") {
            3
        } else if path.ends_with("/appRoleAssignments")
            || matches!(path, "/users" | "/applications")
        {
            2
        } else {
            1
        };
        let with = |name: &str| i32::from(request.query.contains(name));
        let units = (base - with("$select=") + with("$expand=")).max(1);
        Self {
            service: Service::of(request),
            units: units.unsigned_abs(),
            keys: request.query.contains("keyCredentials"),
        }
    }
}
