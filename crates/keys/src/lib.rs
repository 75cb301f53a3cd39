//! Envelope encryption: a provider wraps data keys, data keys seal values.
//!
//! Three layers, so that each can be destroyed alone: a key-encryption key (KEK) that lives with a
//! [`KeyProvider`], one data key per partner that the KEK wraps, and one content key per credential
//! that the partner's data key wraps. Forgetting a credential's content key makes its secret
//! unreadable without touching any other row. Values are sealed with AES-256-GCM under
//! [`Place`] as associated data, so a ciphertext moved to another row, column or partner does not
//! open.

mod certificate;
mod file;
mod keyring;
mod sealed;
mod signing;
pub mod totp;
#[cfg(test)]
mod vectors;
pub mod webauthn;

pub use certificate::{Certificate, CertificateKey, ImportError, new_rsa_key};
pub use file::FileProvider;
pub use keyring::{KeyProvider, Keyring, Wrapped};
pub use sealed::{ContentKey, Place, Sealed};
pub use signing::{SigningKey, verify};

use zeroize::{Zeroize, ZeroizeOnDrop};

/// What can go wrong with a key. No variant carries key or plaintext bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ciphertext, its place or its key do not belong together, or it was altered.
    #[error("the sealed value does not open with this key at this place")]
    Unopenable,
    /// The bytes are not an envelope that this version knows.
    #[error("not a sealed value: {0}")]
    Malformed(&'static str),
    /// The wrapping key is not known to the provider.
    #[error("no key-encryption key named {0}")]
    UnknownKey(String),
    /// The key file could not be read or made, or its mode is too open.
    #[error("key file {path}: {reason}")]
    File {
        /// The path as configured.
        path: String,
        /// What was wrong and what to do.
        reason: String,
    },
    /// The service that holds the wrapping key did not answer, or refused. It may answer later.
    #[error("the key service {service}: {reason}")]
    Service {
        /// Which.
        service: &'static str,
        /// What it said, or why it could not be asked.
        reason: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed")]
    Random,
}

/// A secret string: a client secret, a token. Never printed; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the text; the caller's copy must not outlive this call.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

/// Compares without an early exit on the first difference; lengths are not secret.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y)) == 0
}

/// `n` bytes from the operating system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0u8; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

fn fill_random(bytes: &mut [u8]) -> Result<(), Error> {
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), bytes)
        .map_err(|_| Error::Random)
}

/// An unguessable token for a URL or a cookie: 256 bits, base64url without padding (43 characters).
pub fn random_token() -> Result<String, Error> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&random_bytes::<32>()?))
}

/// A code that a person writes down: 140 bits in seven groups of four, in the alphabet of base32, which
/// has no digits that look like letters. So much that nobody finds one from its hash.
pub fn random_code() -> Result<Secret, Error> {
    let text = data_encoding::BASE32_NOPAD.encode(&random_bytes::<18>()?);
    let groups: Vec<&str> = (0..7).map(|i| &text[i * 4..i * 4 + 4]).collect();
    Ok(Secret::new(groups.join("-")))
}

/// HMAC-SHA-256 (RFC 2104) in lower-case hexadecimal: the signature of a webhook.
pub fn hmac(key: &Secret, message: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.expose().as_bytes());
    data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, message).as_ref())
}

/// SHA-256 in lower-case hexadecimal: how tokens and states are kept in the database.
pub fn fingerprint(token: &str) -> String {
    sha256(token.as_bytes())
}

/// SHA-256 of bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}
