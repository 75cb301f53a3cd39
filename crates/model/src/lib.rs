//! Tables and rules. The only SQL of the product lives here, and [`Scope`] is the only door to it:
//! every read and write of a partner's rows goes through one, which adds the partner (and, where the
//! membership is limited, the companies) to the statement.

pub mod alert;
pub mod api_token;
pub mod assessment;
pub mod audit;
pub mod authorisation;
pub mod brand;
pub mod channel;
pub mod company;
pub mod connection_test;
pub mod consent_link;
pub mod consent_request;
pub mod contact_form;
pub mod credential;
pub mod data_key;
pub mod delivery;
pub mod directory;
pub mod evidence;
pub mod extract;
pub mod held_form;
pub mod idempotency_key;
pub mod intake;
pub mod inventory;
pub mod invitation;
pub mod limit;
pub mod mapping;
pub mod member;
pub mod monthly;
pub mod partner;
pub mod passkey;
pub mod recovery;
pub mod recovery_code;
pub mod report_schedule;
pub mod run;
pub mod run_event;
pub mod secure_score;
pub mod session;
pub mod sign_in;
pub mod sign_in_provider;
pub mod tenant;
pub mod totp;

mod clock;
mod db;
mod entity;
mod error;
mod ids;
mod scope;

pub use clock::{Clock, Timestamp};
pub use db::{Db, Pool};
pub use entity::types::{
    AlertKind, AlertState, AssessmentState, ChannelEvent, ChannelKind, CollectorState, ConsentStep,
    CredentialKind, CredentialState, DeliveryState, EvidenceKind, Feature, ProviderKind, Role,
    RunCause, RunKind, RunState, SecretKind, SecretState, Severity, SignInMethod, TenantState,
    TestState,
};
pub use entity::{
    alert::Model as Alert, api_token::Model as ApiToken, assessment::Model as Assessment,
    audit_row::Model as AuditRow, authorisation::Model as Authorisation, company::Model as Company,
    connection_test::Model as ConnectionTest, consent_link::Model as ConsentLink,
    consent_request::Model as ConsentRequest, control_profile::Model as ControlProfile,
    control_score::Model as ControlScore, delivery::Model as Delivery, domain::Model as Domain,
    evidence::Model as Evidence, group::Model as Group, group_member::Model as GroupMember,
    invitation::Model as InvitationRow, mapping::Model as Mapping, member::Model as Member,
    membership::Model as Membership, mfa_registration::Model as MfaRegistration,
    partner::Model as Partner, passkey::Model as Passkey, report_schedule::Model as ReportSchedule,
    run::Model as Run, run_collector::Model as RunCollector, run_event::Model as RunEvent,
    secure_score::Model as SecureScore, session::Model as Session,
    sign_in_provider::Model as SignInProvider, subscribed_sku::Model as SubscribedSku,
    tenant::Model as Tenant, user::Model as User,
};
pub use error::{Error, FieldError, Result};
pub use ids::{
    AlertId, ApiTokenId, AssessmentId, AuthorisationId, ChannelId, ClientId, CompanyId,
    ConnectionTestId, ConsentLinkId, ConsentRequestId, CredentialId, CredentialSecretId,
    DeliveryId, DirectoryId, EvidenceId, HeldFormId, IdempotencyKeyId, IntakeId, InvitationId,
    MappingId, MemberId, PartnerId, PasskeyId, ReportScheduleId, RunId, SessionId,
    SignInProviderId, SigningKeyId, TenantId,
};
pub use scope::{Actor, Scope};
pub use session::Principal;

/// One page of a list and, where asked for, the number of rows that match in all.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// The rows of this page.
    pub rows: Vec<T>,
    /// Rows that match in all.
    pub total: u64,
}

/// Which part of a list to read.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to return at most.
    pub limit: u64,
}

impl Window {
    /// Page `number` (from 1) of `size` rows.
    pub fn page(number: u64, size: u64) -> Self {
        // Far beyond any list, and still a number that both databases take.
        let number = number.clamp(1, 1_000_000);
        Self {
            offset: (number - 1).saturating_mul(size),
            limit: size,
        }
    }
}
