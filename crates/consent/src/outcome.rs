//! Named outcomes of a consent request, each with what its page says.

use graph::{Class, Error};

/// How a consent request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Consent stands and works.
    Granted,
    /// Consent stands, some permissions do not.
    MissingPermissions,
    /// Consent stands, with more than was asked for.
    UnexpectedPermissions,
    /// The administrator or a policy said no.
    Declined,
    /// It took too long.
    Expired,
    /// The return was used before.
    Replayed,
    /// The return is not ours.
    Unrecognised,
    /// The link by which it came was taken back or used meanwhile.
    LinkClosed,
    /// Another browser began it.
    OtherBrowser,
    /// Another tenant came back than was asked for or proved.
    TenantMismatch,
    /// The directory is linked to the application by another partner.
    AlreadyLinked,
    /// The account may not consent.
    WrongRole,
    /// Microsoft does not know the application there.
    ApplicationNotFound,
    /// Microsoft does not accept our secret.
    CredentialRejected,
    /// Consent stands, and yet nothing may be read.
    NothingReadable,
    /// Consent does not work everywhere yet.
    StillSpreading,
    /// Microsoft could not be asked.
    Unreachable,
}

impl Outcome {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Granted,
        Self::MissingPermissions,
        Self::UnexpectedPermissions,
        Self::Declined,
        Self::Expired,
        Self::Replayed,
        Self::Unrecognised,
        Self::LinkClosed,
        Self::OtherBrowser,
        Self::TenantMismatch,
        Self::AlreadyLinked,
        Self::WrongRole,
        Self::ApplicationNotFound,
        Self::CredentialRejected,
        Self::NothingReadable,
        Self::StillSpreading,
        Self::Unreachable,
    ];

    /// The word in the database, the API and the page's address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::MissingPermissions => "missing_permissions",
            Self::UnexpectedPermissions => "unexpected_permissions",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::Unrecognised => "unrecognised",
            Self::LinkClosed => "link_closed",
            Self::OtherBrowser => "other_browser",
            Self::TenantMismatch => "tenant_mismatch",
            Self::AlreadyLinked => "already_linked",
            Self::WrongRole => "wrong_role",
            Self::ApplicationNotFound => "application_not_found",
            Self::CredentialRejected => "credential_rejected",
            Self::NothingReadable => "nothing_readable",
            Self::StillSpreading => "still_spreading",
            Self::Unreachable => "unreachable",
        }
    }

    /// The outcome of a word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|o| o.name() == name)
    }

    /// Of an error that Microsoft put into the redirect.
    pub fn of_redirect_error(error: &str, code: Option<u32>) -> Self {
        match (error, code) {
            (_, Some(90_094 | 90_095)) => Self::WrongRole,
            (_, Some(65_004)) => Self::Declined,
            (_, Some(700_016 | 700_011 | 7_000_229)) => Self::ApplicationNotFound,
            ("access_denied" | "consent_required" | "permission_denied", _) => Self::Declined,
            ("temporarily_unavailable" | "server_error", _) => Self::Unreachable,
            (_, Some(code)) => Self::of_error(&Error::Token {
                error: error.to_owned(),
                code: Some(code),
            }),
            _ => Self::Declined,
        }
    }

    /// Of an error while the consent was verified. An application that is not there yet right after
    /// consent is Microsoft still spreading it.
    pub fn of_error(error: &Error) -> Self {
        match error.class() {
            Class::Credential => Self::CredentialRejected,
            Class::Consent | Class::Permission | Class::NotFound => Self::StillSpreading,
            Class::Policy => Self::Declined,
            Class::Licence | Class::Transient => Self::Unreachable,
            Class::Defect if matches!(error, Error::IdToken(_)) => Self::TenantMismatch,
            Class::Defect => Self::Unreachable,
        }
    }

    /// Whether a tenant was connected.
    pub fn connected(self) -> bool {
        matches!(
            self,
            Self::Granted | Self::MissingPermissions | Self::UnexpectedPermissions
        )
    }

    /// Heading of its page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Granted => "Consent granted",
            Self::MissingPermissions => "Connected, with permissions missing",
            Self::UnexpectedPermissions => "Connected, with more permissions than asked for",
            Self::Declined => "Consent was declined",
            Self::Expired => "This consent request has expired",
            Self::Replayed => "This consent request was used already",
            Self::Unrecognised => "This link is not one of ours",
            Self::LinkClosed => "The link cannot be used any more",
            Self::OtherBrowser => "This was started in another browser",
            Self::TenantMismatch => "Another tenant than expected",
            Self::AlreadyLinked => "This tenant is linked elsewhere",
            Self::WrongRole => "This account may not consent",
            Self::ApplicationNotFound => "Microsoft does not find the application",
            Self::CredentialRejected => "Microsoft does not accept the credential",
            Self::NothingReadable => "Consented, but nothing may be read",
            Self::StillSpreading => "Consent was given; Microsoft is still spreading it",
            Self::Unreachable => "Microsoft could not be asked",
        }
    }

    /// What happened.
    pub fn what(self) -> &'static str {
        match self {
            Self::Granted => {
                "The tenant is connected. A token was obtained and its organization was read."
            }
            Self::MissingPermissions => {
                "The tenant is connected, but some of the permissions that the features need were not granted."
            }
            Self::UnexpectedPermissions => {
                "The tenant is connected, and the application holds permissions there that no feature needs."
            }
            Self::Declined => {
                "The administrator pressed Cancel, or a policy of the tenant does not allow it. Nothing was connected."
            }
            Self::Expired => {
                "More than ten minutes passed between starting and coming back. Nothing was connected."
            }
            Self::Replayed => "Each request counts once. Nothing was changed by opening it again.",
            Self::Unrecognised => {
                "The address you came back with does not belong to any request of this installation. Nothing was connected."
            }
            Self::LinkClosed => {
                "The link was taken back, or somebody else consented with it meanwhile. Nothing was connected."
            }
            Self::OtherBrowser => {
                "A request can only be finished in the browser that began it. It is still open there."
            }
            Self::TenantMismatch => {
                "Microsoft's answer is for another tenant than the one that was asked for, or than the one of the account that signed in. Nothing was connected."
            }
            Self::AlreadyLinked => {
                "Another partner of this installation holds this tenant with the same application. It was not taken over."
            }
            Self::WrongRole => {
                "The account that signed in has no role that may grant these permissions. Nothing was connected."
            }
            Self::ApplicationNotFound => {
                "The application is not known in that tenant or cloud, or did not become usable there. Nothing was connected."
            }
            Self::CredentialRejected => {
                "Microsoft refused the application's secret or certificate. Nothing was connected."
            }
            Self::NothingReadable => {
                "The application is in the tenant, but the permission to read its organization was not granted. Nothing was connected."
            }
            Self::StillSpreading => {
                "Right after consent Microsoft needs up to a few minutes until the application works in the tenant."
            }
            Self::Unreachable => {
                "The answer could not be verified because Microsoft did not answer usefully. Nothing was connected."
            }
        }
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Granted => "Map the tenant to a company to start its first sync.",
            Self::MissingPermissions => {
                "Add them to the app registration, then ask for consent again. What is allowed can be synced already."
            }
            Self::UnexpectedPermissions => {
                "Remove them from the app registration and, in the tenant, from the enterprise application; or switch on the feature that needs them."
            }
            Self::Declined => "Explain what the permissions are for, then ask again.",
            Self::Expired | Self::Replayed | Self::Unrecognised => {
                "Start again from the credential's page."
            }
            Self::LinkClosed => "Ask for a new link.",
            Self::OtherBrowser => "Go back to that browser, or start again here.",
            Self::TenantMismatch => {
                "Start again and sign in with an administrator account that belongs to the tenant itself."
            }
            Self::AlreadyLinked => {
                "Ask the operator of this installation which partner should hold it."
            }
            Self::WrongRole => {
                "Start again as Global Administrator or Privileged Role Administrator."
            }
            Self::ApplicationNotFound => {
                "Check the client ID and the authentication endpoint of the credential."
            }
            Self::CredentialRejected => {
                "Renew the credential's secret or certificate, then ask again."
            }
            Self::NothingReadable => {
                "Add Organization.Read.All to the app registration, best by the permission manifest, then ask again."
            }
            Self::StillSpreading => {
                "Nothing: it is looked at again by itself for a quarter of an hour, and this page follows."
            }
            Self::Unreachable => "Try again in a few minutes.",
        }
    }
}
