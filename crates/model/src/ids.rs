//! Typed ids. Ours are UUID version 7, so that rows made one after another lie side by side;
//! [`DirectoryId`] and [`ClientId`] are Microsoft's.

use std::{fmt, str::FromStr};

use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Clock;

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => { $(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType,
                 Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id: the clock's time and 74 random bits.
            pub fn generate(clock: &Clock) -> Self {
                let ms = u64::try_from(clock.now().0).unwrap_or_default();
                let time = uuid::Timestamp::from_unix(
                    uuid::NoContext, ms / 1000, u32::try_from(ms % 1000).unwrap_or_default() * 1_000_000);
                Self(Uuid::new_v7(time))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )+ };
}

ids! {
    /// An MSP organisation.
    PartnerId,
    /// A person who signs in.
    MemberId,
    /// An Entra application registration that a partner brought.
    CredentialId,
    /// A directory as one credential sees it (our row, not Microsoft's id).
    TenantId,
    /// One attempt at admin consent.
    ConsentRequestId,
    /// A secret, certificate or refresh token of a credential.
    CredentialSecretId,
    /// One attempt to authorise a delegated connection.
    AuthorisationId,
    /// One test of a connection.
    ConnectionTestId,
    /// A link for a customer's administrator.
    ConsentLinkId,
    /// A customer of a partner.
    CompanyId,
    /// Company ↔ tenant.
    MappingId,
    /// One unit of background work.
    RunId,
    /// A signed-in browser (its row, not its token).
    SessionId,
    /// A member's passkey (our row, not the authenticator's id).
    PasskeyId,
    /// Where members may sign in instead of here.
    SignInProviderId,
    /// A form that waits for a proof.
    HeldFormId,
    /// A key that signs what leaves this installation.
    SigningKeyId,
    /// An API token (its row, not its secret).
    ApiTokenId,
    /// An invitation.
    InvitationId,
    /// A statement of evidence.
    EvidenceId,
    /// A company's controls over a period, with what shows them.
    AssessmentId,
    /// An alert.
    AlertId,
    /// A way by which notifications leave.
    ChannelId,
    /// Something that a channel is to send, or sent.
    DeliveryId,
    /// When a company's monthly report is sent, and to whom.
    ReportScheduleId,
    /// Where events of what was synced are sent.
    IntakeId,
    /// What was answered to a request that may be sent again.
    IdempotencyKeyId,
    /// Microsoft's tenant id of an Entra directory.
    DirectoryId,
    /// Microsoft's application (client) id of a registration.
    ClientId,
}
