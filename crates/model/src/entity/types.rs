//! Enumerations as stored: lower-case words, so that a row reads the same in SQL and in the API.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$vdoc:meta])+ $variant:ident = $word:literal),+ $(,)? })+) => { $(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter,
                 DeriveActiveEnum, Serialize, Deserialize)]
        #[sea_orm(rs_type = "String", db_type = "Text")]
        pub enum $name {
            $( $(#[$vdoc])+ #[sea_orm(string_value = $word)] #[serde(rename = $word)] $variant ),+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that the database and the API use.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("{other:?} is none of {}", [$($word),+].join(", "))),
                }
            }
        }
    )+ };
}

words! {
    /// What a member may do; each includes the ones before it.
    Role {
        /// Reads.
        Viewer = "viewer",
        /// Reads everything and approves assessments.
        Auditor = "auditor",
        /// Syncs, retries, cancels.
        Technician = "technician",
        /// Credentials, consent, mappings.
        Admin = "admin",
        /// Members, keys, deletion.
        Owner = "owner",
    }
    /// How a person signed in.
    SignInMethod {
        /// With a password alone.
        Password = "password",
        /// With a password and a code of an authenticator app.
        Totp = "totp",
        /// With a password and a code that was written down.
        RecoveryCode = "recovery_code",
        /// With a passkey.
        Passkey = "passkey",
        /// At a provider.
        Provider = "provider",
    }
    /// What kind of provider signs members in.
    ProviderKind {
        /// Microsoft Entra ID: one directory.
        Entra = "entra",
        /// Any other OpenID Connect provider.
        Oidc = "oidc",
    }
    /// How a credential obtains tokens.
    CredentialKind {
        /// One registration, many customer tenants.
        MultiTenant = "multi_tenant",
        /// One registration that reads the directory in which it lives.
        SingleTenant = "single_tenant",
        /// One directory, read in the name of a person who authorised it.
        Delegated = "delegated",
    }
    /// What a credential is used for beside reading the directory. What is switched off is neither
    /// asked for nor read.
    Feature {
        /// MFA registration of users.
        Mfa = "mfa",
        /// Microsoft Secure Score.
        SecureScore = "secure_score",
        /// Sign-in activity, last use of applications, and the audit events that evidence needs.
        Activity = "activity",
        /// Devices that are joined or registered.
        Devices = "devices",
        /// Devices that Intune manages.
        ManagedDevices = "managed_devices",
        /// Conditional access policies.
        Policies = "policies",
        /// Users at risk and detected risks.
        Risk = "risk",
        /// Roles that people may take by Privileged Identity Management.
        Eligibility = "eligibility",
        /// Customers of the partner's delegated administration (GDAP), and names of tenants.
        Discovery = "discovery",
        /// Customers of the partner's reseller contracts.
        Contracts = "contracts",
        /// Mail from a mailbox of the partner.
        Mail = "mail",
    }
    /// What is sealed for a credential.
    SecretKind {
        /// A client secret's value.
        ClientSecret = "client_secret",
        /// A certificate's private key.
        Certificate = "certificate",
        /// The refresh token of a delegated connection.
        RefreshToken = "refresh_token",
    }
    /// Which of several is used.
    SecretState {
        /// Made here and not used yet: its certificate is to be uploaded first.
        Pending = "pending",
        /// Tried first.
        Current = "current",
        /// Replaced a short while ago, and tried where the current one is refused.
        Previous = "previous",
    }
    /// How a test of a connection stands.
    TestState {
        /// Lines are still coming.
        Running = "running",
        /// Nothing is wrong.
        Passed = "passed",
        /// It works, with something missing.
        Partial = "partial",
        /// It does not work.
        Failed = "failed",
    }
    /// Where a credential stands. Expiry is not stored: it follows from the date.
    CredentialState {
        /// Saved, consent not asked for.
        Draft = "draft",
        /// Consent asked for in the partner's own tenant.
        AwaitingConsent = "awaiting_consent",
        /// Tokens are obtained.
        Active = "active",
        /// Microsoft refuses it.
        Failing = "failing",
        /// The secret is destroyed.
        Revoked = "revoked",
    }
    /// What a tenant allows.
    TenantState {
        /// Consent was given and checked.
        Consented = "consented",
        /// Consent was lost or the credential revoked; data is kept.
        Disconnected = "disconnected",
        /// Known from the partner's own tenant or a list; nobody has consented.
        Discovered = "discovered",
    }
    /// How far a consent request has come.
    ConsentStep {
        /// The administrator is with Microsoft.
        Begun = "begun",
        /// The administrator must prove whose administrator they are.
        Proving = "proving",
        /// Consent was given but does not work everywhere yet.
        Spreading = "spreading",
        /// An outcome stands.
        Finished = "finished",
    }
    /// What a run reads.
    RunKind {
        /// Everything of the directory but sign-in activity.
        Directory = "directory",
        /// Secure scores and control profiles.
        SecureScore = "secure_score",
        /// When users signed in last: a pass of its own, because Microsoft allows ten reads a minute
        /// for all tenants of an application together.
        SignInActivity = "sign_in_activity",
    }
    /// Why a run exists.
    RunCause {
        /// The daily plan.
        Schedule = "schedule",
        /// Somebody asked for everything to be read anew, whatever Graph calls changed.
        Reconcile = "reconcile",
        /// Somebody pressed Sync now.
        Manual = "manual",
        /// A mapping was saved.
        Mapping = "mapping",
        /// Somebody asked for another try.
        Retry = "retry",
    }
    /// Where a run stands.
    RunState {
        /// Waiting for a worker.
        Queued = "queued",
        /// A worker has it.
        Running = "running",
        /// Failed for a passing reason; tried again at `not_before`.
        Retrying = "retrying",
        /// Every collector succeeded.
        Completed = "completed",
        /// Some collectors did not succeed.
        Partial = "partial",
        /// Nothing could be read.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
    }
    /// How one collector ended.
    CollectorState {
        /// Not started.
        Waiting = "waiting",
        /// Reading.
        Running = "running",
        /// Read to the end.
        Succeeded = "succeeded",
        /// Read in part; nothing was concluded from what was not read.
        Partial = "partial",
        /// Not possible here: permission, licence or cloud.
        Skipped = "skipped",
        /// Failed.
        Failed = "failed",
        /// The run was cancelled first.
        Cancelled = "cancelled",
    }
}

impl RunKind {
    /// What Sync now and a new mapping start: nobody waits for sign-in activity.
    pub const SYNC_NOW: &'static [Self] = &[Self::Directory, Self::SecureScore];
}

impl RunState {
    /// Whether work is still to come.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Retrying)
    }
}
