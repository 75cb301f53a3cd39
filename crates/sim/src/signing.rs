//! The signing keys of the simulated sign-in service, RSA keys made when first needed, and id tokens
//! that are made wrong on purpose.

use std::sync::{Mutex, OnceLock, PoisonError};

use getrandom::SysRng;
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair, PublicKeyComponents},
    signature::RSA_PKCS1_SHA256,
};
use rsa::{RsaPrivateKey, pkcs8::EncodePrivateKey, rand_core::UnwrapErr};
use serde_json::{Value, json};

/// What is wrong with an id token.
#[derive(Debug, Clone, Default)]
pub struct Forgery {
    /// Members that its header has besides or instead; null takes one away.
    pub head: Value,
    /// The same of its claims.
    pub claims: Value,
    /// Who signs it.
    pub signature: Signature,
    /// The `issuer` that the key set gives for the service's second key.
    pub second_issuer: Option<String>,
}

/// Who signs a forged id token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signature {
    /// The service, rightly.
    #[default]
    Right,
    /// The second key of the service, under its own name.
    SecondKey,
    /// The second key, under the first one's name.
    Swapped,
    /// A key that the service never had, under the first one's name.
    Foreign,
    /// HMAC with the public key's text as the secret.
    PublicKeyAsSecret,
    /// Nobody: the signature is empty.
    Empty,
    /// The service, before the claims were changed: the signature is of others.
    Before,
    /// The service, and then one bit is changed.
    BitFlipped,
    /// Nobody, and the last dot is missing.
    TwoParts,
}

/// Signs id tokens.
#[derive(Default)]
pub(crate) struct Signer {
    key: OnceLock<Option<Key>>,
    second: OnceLock<Option<Key>>,
    foreign: OnceLock<Option<Key>>,
    forgery: Mutex<Option<Forgery>>,
    issued: Mutex<Vec<String>>,
}

/// Id tokens remembered for tests; more would be a leak in a long demo.
const REMEMBERED: usize = 1000;

struct Key {
    pair: KeyPair,
    n: String,
    e: String,
}

const KEY_ID: &str = "sim-key-1";
const SECOND_KEY_ID: &str = "sim-key-2";

fn part(value: &Value) -> String {
    data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

impl Key {
    fn sign(&self, input: &str) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        let done = self
            .pair
            .sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature);
        done.ok().map(|()| signature)
    }

    fn public(&self, kid: &str, issuer: &str) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "kid": kid, "n": self.n, "e": self.e, "issuer": issuer,
        })
    }
}

impl Signer {
    fn key(&self) -> Option<&Key> {
        self.key.get_or_init(generate).as_ref()
    }

    fn forgery(&self) -> Option<Forgery> {
        let forgery = self.forgery.lock().unwrap_or_else(PoisonError::into_inner);
        forgery.clone()
    }

    /// Lets every id token be wrong from now on, or none.
    pub(crate) fn forge(&self, forgery: Option<Forgery>) {
        *self.forgery.lock().unwrap_or_else(PoisonError::into_inner) = forgery;
    }

    /// The `keys` document.
    pub(crate) fn jwks(&self, issuer_template: &str) -> Value {
        let Some(key) = self.key() else {
            return json!({ "keys": [] });
        };
        let mut keys = vec![key.public(KEY_ID, issuer_template)];
        if let Some(issuer) = self.forgery().and_then(|forgery| forgery.second_issuer) {
            let second = self.second.get_or_init(generate).as_ref();
            keys.extend(second.map(|key| key.public(SECOND_KEY_ID, &issuer)));
        }
        json!({ "keys": keys })
    }

    /// Id tokens that were handed out.
    pub(crate) fn issued(&self) -> Vec<String> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.clone()
    }

    /// A signed JWT of the claims.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let token = self.make(claims)?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() < REMEMBERED {
            issued.push(token.clone());
        }
        Some(token)
    }

    fn make(&self, claims: &Value) -> Option<String> {
        let head = json!({ "typ": "JWT", "alg": "RS256", "kid": KEY_ID });
        let right = format!("{}.{}", part(&head), part(claims));
        let Some(forgery) = self.forgery() else {
            let signature = self.key()?.sign(&right)?;
            let signature = data_encoding::BASE64URL_NOPAD.encode(&signature);
            return Some(format!("{right}.{signature}"));
        };
        let (mut head, mut claims) = (head, claims.clone());
        if forgery.signature == Signature::SecondKey {
            head["kid"] = json!(SECOND_KEY_ID);
        }
        amend(&mut head, &forgery.head);
        amend(&mut claims, &forgery.claims);
        let input = format!("{}.{}", part(&head), part(&claims));
        let signature = match forgery.signature {
            Signature::Right => self.key()?.sign(&input)?,
            Signature::SecondKey | Signature::Swapped => {
                self.second.get_or_init(generate).as_ref()?.sign(&input)?
            }
            Signature::Foreign => self.foreign.get_or_init(generate).as_ref()?.sign(&input)?,
            Signature::PublicKeyAsSecret => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, self.key()?.n.as_bytes());
                hmac::sign(&secret, input.as_bytes()).as_ref().to_vec()
            }
            Signature::Empty => Vec::new(),
            Signature::Before => self.key()?.sign(&right)?,
            Signature::BitFlipped => {
                let mut signature = self.key()?.sign(&input)?;
                if let Some(last) = signature.last_mut() {
                    *last ^= 1;
                }
                signature
            }
            Signature::TwoParts => return Some(input),
        };
        let signature = data_encoding::BASE64URL_NOPAD.encode(&signature);
        Some(format!("{input}.{signature}"))
    }
}

fn amend(whole: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => {
                if let Some(whole) = whole.as_object_mut() {
                    whole.remove(name);
                }
            }
            value => whole[name] = value.clone(),
        }
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
