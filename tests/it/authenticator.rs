//! An authenticator of passkeys in software: one key, a count, and the lies that a test wants told.

use minicbor::Encoder;
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::json;

pub struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    pub origin: String,
    pub party: String,
    pub count: u32,
    /// User present (1), user verified (4).
    pub flags: u8,
}

fn text(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

impl Authenticator {
    pub fn new(origin: &str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random)
            .unwrap();
        Self {
            key,
            id: keys::random_bytes::<32>().unwrap().to_vec(),
            origin: origin.to_owned(),
            party: "localhost".into(),
            count: 0,
            flags: 5,
        }
    }

    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn data(&mut self, more: u8) -> Vec<u8> {
        self.count += 1;
        let mut data = digest(&SHA256, self.party.as_bytes()).as_ref().to_vec();
        data.push(self.flags | more);
        data.extend_from_slice(&self.count.to_be_bytes());
        data
    }

    /// The fields of the form of a new passkey.
    pub fn make(&mut self, challenge: &str) -> Vec<(&'static str, String)> {
        let client = self.client_data("webauthn.create", challenge);
        let mut data = self.data(0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        let point = self.key.public_key().as_ref();
        let mut e = Encoder::new(&mut data);
        e.map(5).unwrap();
        e.i8(1)
            .unwrap()
            .i8(2)
            .unwrap()
            .i8(3)
            .unwrap()
            .i8(-7)
            .unwrap();
        e.i8(-1).unwrap().i8(1).unwrap();
        e.i8(-2).unwrap().bytes(&point[1..33]).unwrap();
        e.i8(-3).unwrap().bytes(&point[33..]).unwrap();
        let mut e = Encoder::new(Vec::new());
        e.map(3).unwrap();
        e.str("fmt").unwrap().str("none").unwrap();
        e.str("attStmt").unwrap().map(0).unwrap();
        e.str("authData").unwrap().bytes(&data).unwrap();
        vec![
            ("clientDataJSON", text(&client)),
            ("attestationObject", text(&e.into_writer())),
        ]
    }

    /// The fields of the form that asks for a passkey.
    pub fn answer(&mut self, challenge: &str) -> Vec<(&'static str, String)> {
        let client = self.client_data("webauthn.get", challenge);
        let data = self.data(0);
        let mut signed = data.clone();
        signed.extend_from_slice(digest(&SHA256, &client).as_ref());
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        vec![
            ("id", text(&self.id)),
            ("clientDataJSON", text(&client)),
            ("authenticatorData", text(&data)),
            ("signature", text(signature.as_ref())),
            ("userHandle", String::new()),
        ]
    }
}

/// What a page asks for.
pub fn challenge(page: &str) -> String {
    let (_, rest) = page.split_once("data-challenge=\"").expect("a challenge");
    rest.split('"').next().unwrap().to_owned()
}
