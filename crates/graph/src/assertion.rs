//! Client assertions: a JWT by which an application proves that it holds a certificate's key.
//!
//! Source: Microsoft identity platform, certificate credentials: `PS256` with `x5t#S256` in the
//! header; audience is the token endpoint; lifetime of 5 to 10 minutes.

use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::Error;

/// The `client_assertion_type` of a JWT (RFC 7523).
pub(crate) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Seconds that an assertion lives.
const LIFE: i64 = 600;
/// Seconds that our clock may be ahead of Microsoft's.
const SKEW: i64 = 60;

/// A private key with its certificate's fingerprint.
pub struct SigningKey {
    pair: RsaKeyPair,
    certificate: [u8; 32],
}

impl SigningKey {
    /// From a PKCS#8 private key and the certificate, both in DER.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the key is no RSA key.
    pub fn new(private_key: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let pair = RsaKeyPair::from_pkcs8(private_key)
            .map_err(|_| Error::Malformed("the private key is no RSA key".into()))?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, certificate).as_ref());
        Ok(Self {
            pair,
            certificate: fingerprint,
        })
    }

    /// An assertion of `client_id` for the token endpoint `audience`; `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Malformed`] when signing fails, which a valid key does not.
    pub fn assert(&self, client_id: Uuid, audience: &Url, now: i64) -> Result<String, Error> {
        let part = |v: &Value| data_encoding::BASE64URL_NOPAD.encode(v.to_string().as_bytes());
        let head = json!({
            "alg": "PS256", "typ": "JWT",
            "x5t#S256": data_encoding::BASE64URL_NOPAD.encode(&self.certificate),
        });
        let claims = json!({
            "aud": audience.as_str(), "iss": client_id, "sub": client_id, "jti": id(),
            "nbf": now - SKEW, "iat": now, "exp": now + LIFE - SKEW,
        });
        let input = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                input.as_bytes(),
                &mut signature,
            )
            .map_err(|_| Error::Malformed("the assertion could not be signed".into()))?;
        let signature = data_encoding::BASE64URL_NOPAD.encode(&signature);
        Ok(format!("{input}.{signature}"))
    }
}

#[allow(clippy::disallowed_methods)] // an assertion's id names nothing of ours
fn id() -> Uuid {
    Uuid::new_v4()
}
