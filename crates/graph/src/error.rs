//! What a call to Microsoft can answer instead of data, in classes that say whose turn it is.

use std::time::Duration;

use crate::explain::{Explanation, token as explained};

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Our application's credential is refused: all its tenants are affected.
    Credential,
    /// The customer's tenant does not hold our application, or not any more.
    Consent,
    /// A policy of the customer forbids it.
    Policy,
    /// A permission was not granted.
    Permission,
    /// The tenant lacks a licence or the service.
    Licence,
    /// It will pass: try again later.
    Transient,
    /// There is no such object (or not yet).
    NotFound,
    /// The request is wrong: a defect of ours.
    Defect,
}

/// Errors of the Microsoft client. None carries a token, a secret or Microsoft's raw description.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The sign-in service refused a token.
    #[error("Microsoft refused a token: {error}{}", code.map(|c| format!(" (AADSTS{c})")).unwrap_or_default())]
    Token {
        /// OAuth's error word.
        error: String,
        /// Microsoft's number, if it gave one.
        code: Option<u32>,
    },
    /// The refresh token of a delegated connection is not accepted any more.
    #[error("the authorisation has lapsed{}", code.map(|c| format!(" (AADSTS{c})")).unwrap_or_default())]
    Lapsed {
        /// Microsoft's number, if it gave one.
        code: Option<u32>,
    },
    /// The credential has been revoked here.
    #[error("the credential is revoked")]
    Revoked,
    /// Where the proof of a token request is kept did not answer.
    #[error("the credential could not be opened: {0}")]
    Store(String),
    /// The service that holds the wrapping key does not answer, so no credential can be opened now.
    #[error("no credential can be opened: {0}")]
    Locked(String),
    /// Graph answered an error.
    #[error("Microsoft Graph answered {status} {code}")]
    Api {
        /// HTTP status.
        status: u16,
        /// `error.code`, possibly empty.
        code: String,
        /// `request-id` of the response, for Microsoft's support.
        request_id: String,
        /// Whether the message speaks of a missing licence; messages are used for nothing else.
        says_unlicensed: bool,
    },
    /// Throttled for longer than a request may wait.
    #[error("Microsoft asks to wait {} s", .0.as_secs())]
    Throttled(Duration),
    /// The connection failed.
    #[error("connection: {0}")]
    Transport(String),
    /// The answer was no JSON of the expected shape: HTML of a gateway, half a body.
    #[error("unreadable answer: {0}")]
    Malformed(String),
    /// A link of the answer leads away from the configured Graph origin.
    #[error("a link in the answer leads to another server and was not followed")]
    ForeignLink,
    /// The same page came again, or too many pages.
    #[error("the pages of the answer do not end")]
    EndlessPages,
    /// The body is over the bound.
    #[error("the answer is larger than 32 MiB")]
    TooLarge,
    /// An id token failed verification; the text says which check.
    #[error("the sign-in's id token is not valid: {0}")]
    IdToken(&'static str),
}

/// Whatever number came with it: to the person who authorised, all of them mean the same.
static LAPSED: std::sync::LazyLock<Explanation> =
    std::sync::LazyLock::new(|| explained("invalid_grant", Some(700_082)));

impl Error {
    pub(crate) fn transport(error: reqwest::Error) -> Self {
        // A URL may carry an authorization code: never show it.
        let error = error.without_url();
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text = inner.to_string();
            source = inner.source();
        }
        Self::Transport(text)
    }

    /// Whose turn it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Token { error, code } => crate::explain::token(error, *code).class,
            Self::Api {
                status,
                code,
                says_unlicensed,
                ..
            } => crate::explain::api(*status, code, *says_unlicensed).class,
            Self::Lapsed { .. } | Self::Revoked => Class::Credential,
            Self::Throttled(_)
            | Self::Transport(_)
            | Self::Malformed(_)
            | Self::Store(_)
            | Self::Locked(_) => Class::Transient,
            Self::ForeignLink | Self::EndlessPages | Self::TooLarge | Self::IdToken(_) => {
                Class::Defect
            }
        }
    }

    /// Whether the link to changes is not accepted any more: the whole has to be read (source:
    /// Graph's delta query overview: 410, or `syncStateNotFound` in any spelling).
    pub fn wants_full_read(&self) -> bool {
        matches!(self, Self::Api { status, code, .. }
            if *status == 410 || code.to_ascii_lowercase().contains("syncstatenotfound"))
    }

    /// Whether the link to the next page is not accepted any more: the list has to be read from its
    /// first page.
    pub fn wants_first_page(&self) -> bool {
        matches!(self, Self::Api { code, .. }
            if code.to_ascii_lowercase().contains("expiredpagetoken"))
    }

    /// Microsoft's own code, for people to look up.
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Token {
                code: Some(code), ..
            }
            | Self::Lapsed { code: Some(code) } => Some(format!("AADSTS{code}")),
            Self::Lapsed { code: None } => Some("invalid_grant".into()),
            Self::Token { error, .. } => Some(error.clone()),
            Self::Api { status, code, .. } if code.is_empty() => Some(status.to_string()),
            Self::Api { code, .. } => Some(code.clone()),
            Self::Throttled(_) => Some("429".into()),
            _ => None,
        }
    }

    /// What happened, in a sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Token { error, code } => crate::explain::token(error, *code).sentence.into(),
            Self::Api {
                status,
                code,
                says_unlicensed,
                ..
            } => crate::explain::api(*status, code, *says_unlicensed)
                .sentence
                .into(),
            Self::Lapsed { .. } => LAPSED.sentence.into(),
            Self::Revoked => "The credential is revoked.".into(),
            Self::Store(text) => format!("The credential could not be opened: {text}."),
            Self::Locked(text) => format!("No credential can be opened now: {text}."),
            Self::Throttled(after) => format!(
                "Microsoft is throttling requests and asks to wait {} seconds.",
                after.as_secs()
            ),
            Self::Transport(text) => format!("Microsoft could not be reached: {text}."),
            Self::Malformed(text) => format!("Microsoft's answer could not be read: {text}."),
            other => format!("The answer was refused: {other}."),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Token { error, code } => crate::explain::token(error, *code).remedy.into(),
            Self::Api {
                status,
                code,
                says_unlicensed,
                ..
            } => crate::explain::api(*status, code, *says_unlicensed)
                .remedy
                .into(),
            Self::Lapsed { .. } => LAPSED.remedy.into(),
            Self::Revoked => "Map the company with another credential.".into(),
            Self::Locked(_) => "It is tried again by itself every 15 seconds. Look at the key service and at what this server may do there.".into(),
            Self::Throttled(_) | Self::Store(_) => "Nothing: it is tried again by itself.".into(),
            Self::Transport(_) => {
                "Check that this server reaches Microsoft over HTTPS; it is tried again by itself."
                    .into()
            }
            Self::Malformed(_) => {
                "It is tried again by itself. If it stays, look for a proxy that rewrites answers."
                    .into()
            }
            _ => "Report this with the job's number: it should not happen.".into(),
        }
    }
}
