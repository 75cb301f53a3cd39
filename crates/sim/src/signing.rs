//! The signing key of the simulated sign-in service: an RSA key made when first needed.

use std::sync::OnceLock;

use getrandom::SysRng;
use ring::{
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};
use rsa::{RsaPrivateKey, pkcs8::EncodePrivateKey, rand_core::UnwrapErr};
use serde_json::{Value, json};

/// Signs id tokens.
#[derive(Default)]
pub(crate) struct Signer {
    key: OnceLock<Option<Key>>,
}

struct Key {
    pair: KeyPair,
    n: String,
    e: String,
}

const KEY_ID: &str = "sim-key-1";

impl Signer {
    fn key(&self) -> Option<&Key> {
        self.key.get_or_init(generate).as_ref()
    }

    /// The `keys` document.
    pub(crate) fn jwks(&self, issuer_template: &str) -> Value {
        match self.key() {
            Some(key) => json!({ "keys": [{
                "kty": "RSA", "use": "sig", "kid": KEY_ID, "n": key.n, "e": key.e,
                "issuer": issuer_template,
            }] }),
            None => json!({ "keys": [] }),
        }
    }

    /// A signed JWT of the claims.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let key = self.key()?;
        let part = |v: &Value| data_encoding::BASE64URL_NOPAD.encode(v.to_string().as_bytes());
        let head = part(&json!({ "typ": "JWT", "alg": "RS256", "kid": KEY_ID }));
        let input = format!("{head}.{}", part(claims));
        let mut signature = vec![0; key.pair.public().modulus_len()];
        key.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                input.as_bytes(),
                &mut signature,
            )
            .ok()?;
        Some(format!(
            "{input}.{}",
            data_encoding::BASE64URL_NOPAD.encode(&signature)
        ))
    }
}

fn generate() -> Option<Key> {
    let made = RsaPrivateKey::new(&mut UnwrapErr(SysRng), 2048).ok()?;
    let pair = KeyPair::from_pkcs8(made.to_pkcs8_der().ok()?.as_bytes()).ok()?;
    let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
    Some(Key {
        pair,
        n: data_encoding::BASE64URL_NOPAD.encode(&public.n),
        e: data_encoding::BASE64URL_NOPAD.encode(&public.e),
    })
}
