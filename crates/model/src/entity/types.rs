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
    /// What a webhook is told of beside alerts.
    ChannelEvent {
        /// A run ended: completed, partial, failed or cancelled.
        RunFinished = "run.finished",
        /// A company mapping was made, remapped, deleted, or is synced in another interval.
        MappingChanged = "mapping.changed",
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
    /// What a statement of evidence is about.
    EvidenceKind {
        /// Who has an account, of which type, and whether it is enabled.
        UserInventory = "user_inventory",
        /// Who registered a second factor.
        MfaRegistration = "mfa_registration",
        /// Conditional access policies and their states.
        ConditionalAccessPolicies = "conditional_access_policies",
        /// Who has, or may take, an administrator's role.
        PrivilegedRoles = "privileged_roles",
        /// Sign-ins at risk and detected risks of the last thirty days.
        RiskySignInEvents = "risky_sign_in_events",
    }
    /// How far an assessment has come.
    AssessmentState {
        /// Evidence is attached and taken off.
        Draft = "draft",
        /// Somebody else approved it: it stays as it is.
        Approved = "approved",
    }
    /// What somebody did about an alert.
    AlertState {
        /// Nothing yet.
        Open = "open",
        /// Somebody has seen it and deals with it.
        Acknowledged = "acknowledged",
        /// Not to be shown before a moment.
        Snoozed = "snoozed",
        /// Somebody says that it is dealt with; it stays quiet while its cause lasts.
        Resolved = "resolved",
        /// Its cause is gone.
        Closed = "closed",
    }
    /// How much an alert matters.
    Severity {
        /// To know.
        Info = "info",
        /// To look at these days.
        Warning = "warning",
        /// To look at now.
        Critical = "critical",
    }
    /// What an alert is about.
    AlertKind {
        /// The newest sync of a mapping failed.
        SyncFailing = "sync_failing",
        /// A mapping was not synced within its time; evidence of it counts no more.
        StaleData = "stale_data",
        /// A tenant's consent is gone.
        ConsentLost = "consent_lost",
        /// What is granted in a tenant is not what is needed.
        PermissionDrift = "permission_drift",
        /// A secret or certificate of the partner's own registration ends soon.
        CredentialExpiring = "credential_expiring",
        /// It has ended.
        CredentialExpired = "credential_expired",
        /// Microsoft refuses a credential.
        CredentialFailing = "credential_failing",
        /// A secret or certificate of a customer's application ends soon, or has ended.
        ApplicationExpiring = "application_expiring",
        /// Secure Score fell within a week.
        SecureScoreFell = "secure_score_fell",
        /// Somebody became a global administrator.
        NewGlobalAdministrator = "new_global_administrator",
        /// Microsoft says that a user is at risk.
        RiskyUser = "risky_user",
        /// Fewer users have a second factor than a week ago.
        MfaCoverageFell = "mfa_coverage_fell",
        /// A fall of a collection is held back until somebody confirms it.
        RemovalHeld = "removal_held",
        /// Somebody tries passwords of a member.
        PasswordGuessing = "password_guessing",
    }
    /// How a channel sends.
    ChannelKind {
        /// Mail from a Microsoft 365 mailbox, by Graph.
        Microsoft365 = "microsoft365",
        /// Mail by SMTP.
        Smtp = "smtp",
        /// A signed request to an address.
        Webhook = "webhook",
    }
    /// How far a delivery has come.
    DeliveryState {
        /// Waits for the day's digest.
        Waiting = "waiting",
        /// To be sent.
        Queued = "queued",
        /// A worker is sending it.
        Sending = "sending",
        /// The other side took it.
        Sent = "sent",
        /// Given up.
        Failed = "failed",
        /// Told in a digest.
        Digested = "digested",
    }
}

impl EvidenceKind {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::UserInventory => "User inventory",
            Self::MfaRegistration => "MFA registration",
            Self::ConditionalAccessPolicies => "Conditional access policies",
            Self::PrivilegedRoles => "Privileged roles",
            Self::RiskySignInEvents => "Risky sign-in events",
        }
    }

    /// The collectors that it rests on: it is written when one of them read to its end.
    pub fn collectors(self) -> &'static [&'static str] {
        match self {
            Self::UserInventory => &["users"],
            Self::MfaRegistration => &["mfa_registrations"],
            Self::ConditionalAccessPolicies => &["conditional_access_policies"],
            Self::PrivilegedRoles => &["role_assignments"],
            Self::RiskySignInEvents => &["sign_ins", "risk_detections"],
        }
    }
}

impl AlertKind {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::SyncFailing => "Sync failing",
            Self::StaleData => "Stale data",
            Self::ConsentLost => "Consent lost",
            Self::PermissionDrift => "Permission drift",
            Self::CredentialExpiring => "Credential expiring",
            Self::CredentialExpired => "Credential expired",
            Self::CredentialFailing => "Credential failing",
            Self::ApplicationExpiring => "Application credential expiring",
            Self::SecureScoreFell => "Secure Score fell",
            Self::NewGlobalAdministrator => "New global administrator",
            Self::RiskyUser => "User at risk",
            Self::MfaCoverageFell => "MFA coverage fell",
            Self::RemovalHeld => "Removal held back",
            Self::PasswordGuessing => "Password guessing",
        }
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
