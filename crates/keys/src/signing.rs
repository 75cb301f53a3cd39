//! Ed25519 signatures (RFC 8032) over what leaves this installation for others to check.

use ring::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use zeroize::Zeroizing;

use crate::Error;

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl SigningKey {
    /// A fresh key and its PKCS #8 form, which is a secret.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let made =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Error::Random)?;
        let bytes = Zeroizing::new(made.as_ref().to_vec());
        Ok((Self::from_pkcs8(&bytes)?, bytes))
    }

    /// A key from its PKCS #8 form.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, Error> {
        Ed25519KeyPair::from_pkcs8(bytes)
            .map(Self)
            .map_err(|_| Error::Malformed("a signing key is PKCS #8"))
    }

    /// The public key: 32 bytes, base64url without padding.
    pub fn public_key(&self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(self.0.public_key().as_ref())
    }

    /// The first 16 hexadecimal digits of the public key's SHA-256.
    pub fn id(&self) -> String {
        key_id(&self.public_key())
    }

    /// Signs; base64url without padding.
    pub fn sign(&self, message: &[u8]) -> String {
        data_encoding::BASE64URL_NOPAD.encode(self.0.sign(message).as_ref())
    }
}

fn key_id(public_key: &str) -> String {
    crate::fingerprint(public_key)[..16].to_owned()
}

/// Whether a signature is the public key's over the message; both base64url.
pub fn verify(public_key: &str, message: &[u8], signature: &str) -> bool {
    let decode = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    match (decode(public_key), decode(signature)) {
        (Some(key), Some(signature)) => UnparsedPublicKey::new(&ED25519, key)
            .verify(message, &signature)
            .is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_every_bit() {
        let (key, bytes) = SigningKey::generate().unwrap();
        let again = SigningKey::from_pkcs8(&bytes).unwrap();
        assert_eq!(key.id(), again.id());
        let signature = again.sign(b"message");
        assert!(verify(&key.public_key(), b"message", &signature));
        assert!(!verify(&key.public_key(), b"messagf", &signature));
        let (other, _) = SigningKey::generate().unwrap();
        assert!(!verify(&other.public_key(), b"message", &signature));
        assert!(!verify("x", b"message", &signature));
    }
}
