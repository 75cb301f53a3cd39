//! The signing key of the simulated sign-in service: an RSA key made when first needed. ring signs
//! with RSA keys but makes none, so the primes are found here; nothing but the simulation uses it.

use std::sync::OnceLock;

use num_bigint::BigUint;
use ring::{
    rand::{SecureRandom, SystemRandom},
    rsa::{KeyPair, KeyPairComponents, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};
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
    let one = BigUint::from(1u8);
    let e = BigUint::from(65_537u32);
    loop {
        let (a, b) = (prime()?, prime()?);
        let (p, q) = if a > b { (a, b) } else { (b, a) };
        let phi = (&p - &one) * (&q - &one);
        let (Some(d), Some(q_inverse)) = (e.modinv(&phi), q.modinv(&p)) else {
            continue;
        };
        let n = &p * &q;
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: n.to_bytes_be(),
                e: e.to_bytes_be(),
            },
            dP: (&d % (&p - &one)).to_bytes_be(),
            dQ: (&d % (&q - &one)).to_bytes_be(),
            d: d.to_bytes_be(),
            p: p.to_bytes_be(),
            q: q.to_bytes_be(),
            qInv: q_inverse.to_bytes_be(),
        };
        if let Ok(pair) = KeyPair::from_components(&components) {
            let text = |n: &BigUint| data_encoding::BASE64URL_NOPAD.encode(&n.to_bytes_be());
            return Some(Key {
                pair,
                n: text(&n),
                e: text(&e),
            });
        }
    }
}

/// A random 1024-bit prime with its two top bits set.
fn prime() -> Option<BigUint> {
    let random = SystemRandom::new();
    loop {
        let mut bytes = [0u8; 128];
        random.fill(&mut bytes).ok()?;
        bytes[0] |= 0xc0;
        bytes[127] |= 1;
        let candidate = BigUint::from_bytes_be(&bytes);
        let small = (3u32..2000)
            .step_by(2)
            .any(|d| &candidate % d == BigUint::ZERO);
        if !small && probably_prime(&candidate) {
            return Some(candidate);
        }
    }
}

/// Miller–Rabin with sixteen fixed bases: enough for random candidates of this size.
fn probably_prime(n: &BigUint) -> bool {
    let one = BigUint::from(1u8);
    let last = n - &one;
    let twos = last.trailing_zeros().unwrap_or(0);
    let odd = &last >> twos;
    [
        2u32, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53,
    ]
    .iter()
    .all(|base| {
        let mut x = BigUint::from(*base).modpow(&odd, n);
        if x == one || x == last {
            return true;
        }
        (1..twos).any(|_| {
            x = &x * &x % n;
            x == last
        })
    })
}
