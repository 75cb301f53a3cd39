//! What an authenticator answers, checked: Web Authentication, Level 3, sections 7.1 (registration)
//! and 7.2 (authentication), with ring and without attestation, because a passkey of any maker is
//! good enough. `docs/adr/0009-sign-in.md` says why these checks are ours.

use minicbor::Decoder;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

/// Algorithms that are asked for, best first, as COSE numbers: ES256, EdDSA, RS256.
pub const ALGORITHMS: [i64; 3] = [-7, -8, -257];
/// The longest id of a credential (section 4).
const LONGEST_ID: usize = 1023;
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const BACKUP_ELIGIBLE: u8 = 0x08;
const ATTESTED: u8 = 0x40;

/// Who we are to an authenticator.
#[derive(Debug, Clone)]
pub struct RelyingParty {
    /// The domain that passkeys are bound to.
    pub id: String,
    /// The one origin from which they are used, without a slash at its end.
    pub origin: String,
}

/// What is kept of a passkey to check it with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    /// COSE number of the algorithm.
    algorithm: i64,
    /// The point (ES256, EdDSA), or the modulus (RS256), base64url.
    key: String,
    /// The exponent (RS256), base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exponent: Option<String>,
    /// The newest count of signatures; zero where the authenticator does not count.
    count: u32,
    /// Whether the passkey may be copied to other devices; it never changes (section 6.1.3).
    is_backup_eligible: bool,
}

/// A passkey that was registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The authenticator's id of it, base64url.
    pub id: String,
    /// What checks it.
    pub key: PublicKey,
}

/// Why an answer is refused; for the log and for tests, a person is told to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the authenticator's answer is refused: {0}")]
pub struct Refused(pub &'static str);

type Result<T> = std::result::Result<T, Refused>;

fn bytes_of(text: &str) -> Result<Vec<u8>> {
    data_encoding::BASE64URL_NOPAD
        .decode(text.trim_end_matches('=').as_bytes())
        .map_err(|_| Refused("it is not base64url"))
}

fn text_of(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, bytes)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
}

/// Steps 7 to 11 of 7.1, 11 to 14 of 7.2.
fn check_client(party: &RelyingParty, json: &[u8], kind: &str, challenge: &str) -> Result<()> {
    let data: ClientData =
        serde_json::from_slice(json).map_err(|_| Refused("its client data cannot be read"))?;
    if data.kind != kind {
        return Err(Refused("it answers another question"));
    }
    if !crate::constant_time_eq(data.challenge.as_bytes(), challenge.as_bytes()) {
        return Err(Refused("its challenge is not the one that was sent"));
    }
    if data.origin != party.origin {
        return Err(Refused("it was made at another origin"));
    }
    if data.cross_origin {
        return Err(Refused("it was made inside a page of another origin"));
    }
    Ok(())
}

/// Authenticator data (section 6.1).
struct Authenticator<'a> {
    flags: u8,
    count: u32,
    rest: &'a [u8],
}

/// Steps 13 to 17 of 7.1, 15 to 19 of 7.2: for us, present, verified, consistent.
fn check_authenticator<'a>(party: &RelyingParty, data: &'a [u8]) -> Result<Authenticator<'a>> {
    let (head, rest) = data
        .split_at_checked(37)
        .ok_or(Refused("its authenticator data is too short"))?;
    if head[..32] != *sha256(party.id.as_bytes()).as_ref() {
        return Err(Refused("it is for another site"));
    }
    let flags = head[32];
    if flags & USER_PRESENT == 0 {
        return Err(Refused("nobody was present"));
    }
    if flags & USER_VERIFIED == 0 {
        return Err(Refused("the authenticator did not verify its user"));
    }
    // Backup state without eligibility: section 6.1.3.
    if flags & 0x10 != 0 && flags & BACKUP_ELIGIBLE == 0 {
        return Err(Refused("its backup flags contradict each other"));
    }
    let count = head[33..37]
        .iter()
        .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    Ok(Authenticator { flags, count, rest })
}

/// Checks the answer to a registration; `challenge` is base64url as it was sent.
///
/// # Errors
/// [`Refused`], with the step that failed.
pub fn register(
    party: &RelyingParty,
    challenge: &str,
    client_data: &str,
    attestation: &str,
) -> Result<Registered> {
    check_client(party, &bytes_of(client_data)?, "webauthn.create", challenge)?;
    let attestation = bytes_of(attestation)?;
    let data = authenticator_data(&attestation)?;
    let found = check_authenticator(party, data)?;
    if found.flags & ATTESTED == 0 {
        return Err(Refused("it names no credential"));
    }
    // Sixteen bytes name the maker's model, which we do not ask for.
    let (length, rest) = found
        .rest
        .get(16..18)
        .zip(found.rest.get(18..))
        .ok_or(Refused("its credential is cut short"))?;
    let length = usize::from(length[0]) << 8 | usize::from(length[1]);
    if length == 0 || length > LONGEST_ID {
        return Err(Refused("its credential's id is too long"));
    }
    let (id, key) = rest
        .split_at_checked(length)
        .ok_or(Refused("its credential is cut short"))?;
    let mut key = cose_key(key).map_err(|_| Refused("its key cannot be read"))??;
    key.count = found.count;
    key.is_backup_eligible = found.flags & BACKUP_ELIGIBLE != 0;
    // A key that cannot verify anything is refused now and not at the first sign-in.
    key.check_form()?;
    Ok(Registered {
        id: text_of(id),
        key,
    })
}

/// `authData` of an attestation object; its statement is not looked at.
fn authenticator_data(object: &[u8]) -> Result<&[u8]> {
    let unreadable = |_| Refused("its attestation object cannot be read");
    let mut decoder = Decoder::new(object);
    let entries = decoder.map().map_err(unreadable)?;
    let mut found = None;
    for _ in 0..entries.ok_or(Refused("its attestation object has no length"))? {
        match decoder.str().map_err(unreadable)? {
            "authData" => found = Some(decoder.bytes().map_err(unreadable)?),
            _ => decoder.skip().map_err(unreadable)?,
        }
    }
    found.ok_or(Refused("it has no authenticator data"))
}

/// A COSE key (RFC 9053): its labels are numbers.
fn cose_key(bytes: &[u8]) -> std::result::Result<Result<PublicKey>, minicbor::decode::Error> {
    let mut decoder = Decoder::new(bytes);
    let (mut kind, mut algorithm, mut curve) = (0, 0, 0);
    let (mut first, mut second, mut third) = (None, None, None);
    for _ in 0..decoder.map()?.unwrap_or_default() {
        match decoder.i64()? {
            1 => kind = decoder.i64()?,
            3 => algorithm = decoder.i64()?,
            // The curve, or (RSA) the modulus.
            -1 if kind == 3 => first = Some(decoder.bytes()?),
            -1 => curve = decoder.i64()?,
            // x, or (RSA) the exponent.
            -2 => second = Some(decoder.bytes()?),
            -3 => third = Some(decoder.bytes()?),
            _ => decoder.skip()?,
        }
    }
    let key = match (kind, algorithm, curve, first, second, third) {
        (2, -7, 1, _, Some(x), Some(y)) if x.len() == 32 && y.len() == 32 => {
            Some((text_of(&[&[4], x, y].concat()), None))
        }
        (1, -8, 6, _, Some(x), _) if x.len() == 32 => Some((text_of(x), None)),
        (3, -257, _, Some(n), Some(e), _) => Some((text_of(n), Some(text_of(e)))),
        _ => None,
    };
    Ok(key
        .map(|(key, exponent)| PublicKey {
            algorithm,
            key,
            exponent,
            count: 0,
            is_backup_eligible: false,
        })
        .ok_or(Refused("its key is of a kind that was not asked for")))
}

/// An answer to a question for a passkey, all base64url.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// The authenticator's id of the passkey.
    pub id: String,
    /// What the browser says of itself and of the question.
    #[serde(rename = "clientDataJSON")]
    pub client_data: String,
    /// What the authenticator says.
    pub authenticator_data: String,
    /// Its signature over both.
    pub signature: String,
}

/// Checks an answer with the passkey that it names; answers the passkey as it is to be kept now.
///
/// # Errors
/// [`Refused`], with the step that failed.
pub fn authenticate(
    party: &RelyingParty,
    challenge: &str,
    key: &PublicKey,
    assertion: &Assertion,
) -> Result<PublicKey> {
    let client_data = bytes_of(&assertion.client_data)?;
    check_client(party, &client_data, "webauthn.get", challenge)?;
    let data = bytes_of(&assertion.authenticator_data)?;
    let found = check_authenticator(party, &data)?;
    let mut signed = data.clone();
    signed.extend_from_slice(sha256(&client_data).as_ref());
    key.verify(&signed, &bytes_of(&assertion.signature)?)?;
    if (found.flags & BACKUP_ELIGIBLE != 0) != key.is_backup_eligible {
        return Err(Refused("whether it may be copied has changed"));
    }
    // Step 22: a count that does not grow means a copy of the authenticator.
    if (found.count > 0 || key.count > 0) && found.count <= key.count {
        return Err(Refused("its count did not grow: it may be a copy"));
    }
    Ok(PublicKey {
        count: found.count,
        ..key.clone()
    })
}

impl PublicKey {
    /// Signatures counted so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    fn check_form(&self) -> Result<()> {
        let key = bytes_of(&self.key)?;
        let fits = match self.algorithm {
            -257 => (256..=1024).contains(&key.len()),
            _ => true,
        };
        if fits {
            Ok(())
        } else {
            Err(Refused("its RSA key is shorter than 2,048 bits"))
        }
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let key = bytes_of(&self.key)?;
        let verified = match self.algorithm {
            -7 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key).verify(message, signature),
            -8 => UnparsedPublicKey::new(&ED25519, &key).verify(message, signature),
            -257 => RsaPublicKeyComponents {
                n: key,
                e: bytes_of(self.exponent.as_deref().unwrap_or_default())?,
            }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
            _ => return Err(Refused("its algorithm is not known")),
        };
        verified.map_err(|_| Refused("its signature does not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minicbor::Encoder;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };

    fn party() -> RelyingParty {
        RelyingParty {
            id: "portal.example".into(),
            origin: "https://portal.example".into(),
        }
    }

    fn client(kind: &str, challenge: &str, origin: &str, crossed: bool) -> String {
        text_of(
            serde_json::json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": crossed })
                .to_string()
                .as_bytes(),
        )
    }

    fn data(id: &str, flags: u8, count: u32) -> Vec<u8> {
        let mut data = sha256(id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend_from_slice(&count.to_be_bytes());
        data
    }

    struct Es256(EcdsaKeyPair);

    fn es256() -> Es256 {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        Es256(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random)
                .unwrap(),
        )
    }

    impl Es256 {
        fn cose(&self) -> Vec<u8> {
            let point = self.0.public_key().as_ref();
            let mut e = Encoder::new(Vec::new());
            e.map(5).unwrap();
            e.i8(1).unwrap().i8(2).unwrap();
            e.i8(3).unwrap().i8(-7).unwrap();
            e.i8(-1).unwrap().i8(1).unwrap();
            e.i8(-2).unwrap().bytes(&point[1..33]).unwrap();
            e.i8(-3).unwrap().bytes(&point[33..]).unwrap();
            e.into_writer()
        }

        fn assert(&self, data: Vec<u8>, client: &str) -> Assertion {
            let mut signed = data.clone();
            signed.extend_from_slice(sha256(&bytes_of(client).unwrap()).as_ref());
            let signature = self.0.sign(&SystemRandom::new(), &signed).unwrap();
            Assertion {
                id: text_of(b"id"),
                client_data: client.into(),
                authenticator_data: text_of(&data),
                signature: text_of(signature.as_ref()),
            }
        }
    }

    fn object(mut data: Vec<u8>, cose: &[u8]) -> String {
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&[0, 2]);
        data.extend_from_slice(b"id");
        data.extend_from_slice(cose);
        let mut e = Encoder::new(Vec::new());
        e.map(3).unwrap();
        e.str("fmt").unwrap().str("none").unwrap();
        e.str("attStmt").unwrap().map(0).unwrap();
        e.str("authData").unwrap().bytes(&data).unwrap();
        text_of(&e.into_writer())
    }

    const ALL: u8 = USER_PRESENT | USER_VERIFIED | ATTESTED;
    const SIGNED: u8 = USER_PRESENT | USER_VERIFIED;

    fn registered(pair: &Es256) -> PublicKey {
        let client = client("webauthn.create", "c", "https://portal.example", false);
        let object = object(data("portal.example", ALL, 1), &pair.cose());
        let made = register(&party(), "c", &client, &object).unwrap();
        assert_eq!(made.id, text_of(b"id"));
        made.key
    }

    #[test]
    fn a_passkey_is_registered_and_used() {
        let pair = es256();
        let key = registered(&pair);
        let client = client("webauthn.get", "d", "https://portal.example", false);
        let answer = pair.assert(data("portal.example", SIGNED, 2), &client);
        let after = authenticate(&party(), "d", &key, &answer).unwrap();
        assert_eq!(after.count(), 2);
        // The same answer again: its count did not grow.
        assert!(authenticate(&party(), "d", &after, &answer).is_err());
    }

    #[test]
    fn every_step_of_a_registration_refuses() {
        let pair = es256();
        let good = |flags| object(data("portal.example", flags, 1), &pair.cose());
        let ours = "https://portal.example";
        let right = client("webauthn.create", "c", ours, false);
        let unknown_key = {
            let mut e = Encoder::new(Vec::new());
            e.map(2).unwrap();
            e.i8(1).unwrap().i8(2).unwrap();
            e.i8(3).unwrap().i16(-35).unwrap();
            e.into_writer()
        };
        for (client, object) in [
            (client("webauthn.get", "c", ours, false), good(ALL)),
            (client("webauthn.create", "x", ours, false), good(ALL)),
            (
                client("webauthn.create", "c", "https://evil.example", false),
                good(ALL),
            ),
            (
                client("webauthn.create", "c", "http://portal.example", false),
                good(ALL),
            ),
            (
                client("webauthn.create", "c", "https://portal.example:444", false),
                good(ALL),
            ),
            (client("webauthn.create", "c", ours, true), good(ALL)),
            (right.clone(), good(USER_VERIFIED | ATTESTED)),
            (right.clone(), good(USER_PRESENT | ATTESTED)),
            (right.clone(), good(SIGNED)),
            (right.clone(), good(ALL | 0x10)),
            (
                right.clone(),
                object(data("evil.example", ALL, 1), &pair.cose()),
            ),
            (
                right.clone(),
                object(data("portal.example", ALL, 1), &unknown_key),
            ),
            (right.clone(), object(data("portal.example", ALL, 1), b"")),
            (right.clone(), text_of(b"\xa0")),
            (right.clone(), text_of(b"\xbf\xff")),
            (right.clone(), "***".into()),
            (text_of(b"{}"), good(ALL)),
        ] {
            assert!(
                register(&party(), "c", &client, &object).is_err(),
                "{client} {object}"
            );
        }
        // Cut at every place, it is refused and never a panic.
        let whole = bytes_of(&good(ALL)).unwrap();
        for end in 0..whole.len() {
            assert!(
                register(&party(), "c", &right, &text_of(&whole[..end])).is_err(),
                "{end}"
            );
        }
    }

    #[test]
    fn every_step_of_a_sign_in_refuses() {
        let (pair, other) = (es256(), es256());
        let key = registered(&pair);
        let ours = "https://portal.example";
        let right = client("webauthn.get", "d", ours, false);
        let signed = |flags, count| data("portal.example", flags, count);
        for (by, data, client) in [
            (&other, signed(SIGNED, 2), right.clone()),
            (
                &pair,
                signed(SIGNED, 2),
                client("webauthn.create", "d", ours, false),
            ),
            (
                &pair,
                signed(SIGNED, 2),
                client("webauthn.get", "c", ours, false),
            ),
            (
                &pair,
                signed(SIGNED, 2),
                client("webauthn.get", "d", "https://evil.example", false),
            ),
            (
                &pair,
                signed(SIGNED, 2),
                client("webauthn.get", "d", ours, true),
            ),
            (&pair, signed(SIGNED, 1), right.clone()),
            (&pair, signed(SIGNED, 0), right.clone()),
            (&pair, signed(USER_PRESENT, 2), right.clone()),
            (&pair, signed(USER_VERIFIED, 2), right.clone()),
            (&pair, signed(SIGNED | BACKUP_ELIGIBLE, 2), right.clone()),
            (&pair, data("evil.example", SIGNED, 2), right.clone()),
            (&pair, vec![], right.clone()),
        ] {
            let answer = by.assert(data, &client);
            assert!(
                authenticate(&party(), "d", &key, &answer).is_err(),
                "{answer:?}"
            );
        }
        let good = pair.assert(signed(SIGNED, 2), &right);
        for bit in 0..64 {
            let mut signature = bytes_of(&good.signature).unwrap();
            signature[bit / 8] ^= 1 << (bit % 8);
            let bad = Assertion {
                signature: text_of(&signature),
                ..good.clone()
            };
            assert!(authenticate(&party(), "d", &key, &bad).is_err(), "{bit}");
        }
    }

    #[test]
    fn ed25519_keys_work_as_well() {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
        let mut e = Encoder::new(Vec::new());
        e.map(4).unwrap();
        e.i8(1).unwrap().i8(1).unwrap();
        e.i8(3).unwrap().i8(-8).unwrap();
        e.i8(-1).unwrap().i8(6).unwrap();
        e.i8(-2).unwrap().bytes(pair.public_key().as_ref()).unwrap();
        let object = object(data("portal.example", ALL, 0), &e.into_writer());
        let begun = client("webauthn.create", "c", "https://portal.example", false);
        let key = register(&party(), "c", &begun, &object).unwrap().key;
        let asked = client("webauthn.get", "d", "https://portal.example", false);
        let data = data("portal.example", SIGNED, 0);
        let mut signed = data.clone();
        signed.extend_from_slice(sha256(&bytes_of(&asked).unwrap()).as_ref());
        let answer = Assertion {
            id: text_of(b"id"),
            client_data: asked,
            authenticator_data: text_of(&data),
            signature: text_of(pair.sign(&signed).as_ref()),
        };
        // An authenticator that does not count answers zero each time.
        let after = authenticate(&party(), "d", &key, &answer).unwrap();
        authenticate(&party(), "d", &after, &answer).unwrap();
    }
}
