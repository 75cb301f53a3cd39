//! Cookies: of the session, and of what a browser has begun.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite},
};

use crate::Portal;

/// What a cookie holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name {
    /// The session.
    Session,
    /// A password that was right, while the second factor is asked for.
    SecondFactor,
    /// The challenge that a passkey answers.
    Passkey,
    /// A sign-in at a provider.
    Provider,
    /// A consent or an authorisation at Microsoft.
    Consent,
    /// The browser of somebody without an account.
    Browser,
}

impl Name {
    /// The prefix binds a cookie to the host, which browsers allow over TLS only.
    pub(crate) fn as_str(self, portal: &Portal) -> &'static str {
        match (self, portal.is_secure()) {
            (Self::Session, true) => "__Host-session",
            (Self::Session, false) => "session",
            (Self::SecondFactor, true) => "__Host-second",
            (Self::SecondFactor, false) => "second",
            (Self::Passkey, true) => "__Host-passkey",
            (Self::Passkey, false) => "passkey",
            (Self::Provider, true) => "__Host-provider",
            (Self::Provider, false) => "provider",
            (Self::Consent, true) => "__Host-consent",
            (Self::Consent, false) => "consent",
            (Self::Browser, true) => "__Host-browser",
            (Self::Browser, false) => "browser",
        }
    }

    /// What the browser sent of it.
    pub(crate) fn of(self, portal: &Portal, request: &HttpRequest) -> Option<String> {
        let found = request.cookie(self.as_str(portal))?;
        Some(found.value().to_owned()).filter(|value| !value.is_empty())
    }

    /// A cookie that scripts cannot read and other sites cannot send with a POST.
    pub(crate) fn with(self, portal: &Portal, value: String) -> Cookie<'static> {
        Cookie::build(self.as_str(portal), value)
            .path("/")
            .http_only(true)
            .secure(portal.is_secure())
            .same_site(SameSite::Lax)
            .finish()
    }

    /// A cookie that removes it.
    pub(crate) fn gone(self, portal: &Portal) -> Cookie<'static> {
        let mut gone = self.with(portal, String::new());
        gone.make_removal();
        gone
    }
}
