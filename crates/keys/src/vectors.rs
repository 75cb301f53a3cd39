//! Project Wycheproof's vectors against what this crate calls, at the edges where implementations are
//! known to have been wrong.

use data_encoding::BASE64URL_NOPAD;
use ring::{hmac, signature};
use serde_json::json;
use wycheproof::TestResult;

use crate::{ContentKey, webauthn::PublicKey};

/// Counts what agrees; a vector that is merely acceptable may go either way.
#[derive(Default)]
struct Tally {
    agreed: usize,
    disagreed: Vec<usize>,
}

impl Tally {
    fn add(&mut self, id: usize, expected: TestResult, found: bool) {
        let agrees = match expected {
            TestResult::Valid => found,
            TestResult::Invalid => !found,
            TestResult::Acceptable => true,
        };
        match agrees {
            true => self.agreed += 1,
            false => self.disagreed.push(id),
        }
    }

    fn end(self, what: &str, least: usize) {
        assert_eq!(self.disagreed, Vec::<usize>::new(), "{what}");
        assert!(self.agreed >= least, "{what}: only {} vectors", self.agreed);
        println!(
            "B8: {what}: {} vectors of Wycheproof, no disagreement",
            self.agreed
        );
    }
}

#[test]
fn the_envelopes_cipher() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let mut tally = Tally::default();
    for group in set.test_groups {
        // What the envelope has: 256 bits of key, 96 of nonce, 128 of tag.
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in group.tests {
            let key = ContentKey::from_slice(&test.key).unwrap();
            let body = [&test.ct[..], &test.tag[..]].concat();
            let opened = key.decrypt(&test.nonce, &test.aad, &body);
            let is_right = opened.is_ok_and(|plain| plain[..] == test.pt[..]);
            tally.add(test.tc_id, test.result, is_right);
        }
    }
    tally.end("AES-256-GCM", 60);
}

#[test]
fn codes_and_assertions() {
    use wycheproof::mac::TestName::{HmacSha1, HmacSha256};
    for (name, algorithm) in [
        (HmacSha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        (HmacSha256, hmac::HMAC_SHA256),
    ] {
        let set = wycheproof::mac::TestSet::load(name).unwrap();
        let mut tally = Tally::default();
        for group in set.test_groups {
            // ring verifies whole tags alone, which is what is used.
            if group.tag_size != algorithm.digest_algorithm().output_len() * 8 {
                continue;
            }
            for test in group.tests {
                let key = hmac::Key::new(algorithm, &test.key);
                let is_right = hmac::verify(&key, &test.msg, &test.tag).is_ok();
                tally.add(test.tc_id, test.result, is_right);
            }
        }
        tally.end(&format!("{name:?}"), 60);
    }
}

fn passkey(algorithm: i32, key: &[u8], exponent: Option<&[u8]>) -> PublicKey {
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    serde_json::from_value(json!({
        "algorithm": algorithm, "key": encode(key), "exponent": exponent.map(encode),
        "count": 0, "is_backup_eligible": false,
    }))
    .unwrap()
}

#[test]
fn passkeys_signatures() {
    use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify as rsa};
    let mut tally = Tally::default();
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    for group in set.test_groups {
        let key = passkey(-7, &group.key.key, None);
        for test in group.tests {
            let is_right = key.verify(&test.msg, &test.sig).is_ok();
            tally.add(test.tc_id, test.result, is_right);
        }
    }
    tally.end("ECDSA P-256", 300);
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key = passkey(-8, &group.key.pk, None);
        for test in group.tests {
            let is_right = key.verify(&test.msg, &test.sig).is_ok();
            tally.add(test.tc_id, test.result, is_right);
        }
    }
    tally.end("Ed25519", 80);
    for name in [
        rsa::TestName::Rsa2048Sha256,
        rsa::TestName::Rsa3072Sha256,
        rsa::TestName::Rsa4096Sha256,
    ] {
        let set = rsa::TestSet::load(name).unwrap();
        let mut tally = Tally::default();
        for group in set.test_groups {
            let without_sign = |number: &[u8]| {
                let zeros = number.iter().take_while(|byte| **byte == 0).count();
                number[zeros..].to_vec()
            };
            let (n, e) = (without_sign(&group.key.n), without_sign(&group.key.e));
            let key = passkey(-257, &n, Some(&e));
            for test in group.tests {
                let is_right = key.verify(&test.msg, &test.sig).is_ok();
                tally.add(test.tc_id, test.result, is_right);
            }
        }
        tally.end(&format!("{name:?}"), 200);
    }
}

/// What signs client assertions, checked from the other side.
#[test]
fn assertions_padding() {
    use wycheproof::rsa_pss_verify as pss;
    let mut tally = Tally::default();
    let name = pss::TestName::RsaPss2048Sha256Mgf1SaltLen32;
    for group in pss::TestSet::load(name).unwrap().test_groups {
        let key = signature::UnparsedPublicKey::new(
            &signature::RSA_PSS_2048_8192_SHA256,
            &group.asn_key[..],
        );
        for test in group.tests {
            let is_right = key.verify(&test.msg, &test.sig).is_ok();
            tally.add(test.tc_id, test.result, is_right);
        }
    }
    tally.end("RSA-PSS with SHA-256", 50);
}
