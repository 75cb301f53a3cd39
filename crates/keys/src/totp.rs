//! Time-based one-time passwords (RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, which is
//! what every authenticator app takes.

use ring::hmac;
use zeroize::Zeroizing;

use crate::{Error, Secret, random_bytes};

/// Seconds of a step.
pub const STEP_SECONDS: i64 = 30;

/// A seed of 160 bits, as RFC 4226 (section 4) recommends.
pub fn new_seed() -> Result<Zeroizing<Vec<u8>>, Error> {
    Ok(Zeroizing::new(random_bytes::<20>()?.to_vec()))
}

/// The seed as people type it: base32 without padding.
pub fn seed_text(seed: &[u8]) -> Secret {
    Secret::new(data_encoding::BASE32_NOPAD.encode(seed))
}

/// The address that an authenticator app reads from a QR code (the key URI format).
pub fn uri(seed: &[u8], issuer: &str, account: &str) -> Secret {
    let encode = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                    out.push(char::from(byte));
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    };
    let (issuer, account) = (encode(issuer), encode(account));
    Secret::new(format!(
        "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period=30",
        seed_text(seed).expose()
    ))
}

/// The code of a step.
fn code(seed: &[u8], step: i64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let cut = bytes[offset..offset + 4]
        .iter()
        .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    (cut & 0x7fff_ffff) % 1_000_000
}

/// The step whose code this is: the present one, or one beside it, because clocks differ. `now` in
/// seconds since 1970. Whoever accepts it must refuse this step and all before it from then on.
pub fn step_of(seed: &[u8], typed: &str, now: i64) -> Option<i64> {
    let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let present = now.div_euclid(STEP_SECONDS);
    let mut found = None;
    // All three are computed and compared whole: time tells nothing.
    for step in [present - 1, present, present + 1] {
        let right = format!("{:06}", code(seed, step));
        if crate::constant_time_eq(right.as_bytes(), digits.as_bytes()) {
            found = Some(step);
        }
    }
    found
}

/// The code of now, for tests and for nobody else: a server never shows one.
pub fn present_code(seed: &[u8], now: i64) -> String {
    format!("{:06}", code(seed, now.div_euclid(STEP_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, the SHA-1 rows, cut to six digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        let seed = b"12345678901234567890";
        for (time, wanted) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(present_code(seed, time), wanted);
            assert_eq!(step_of(seed, wanted, time), Some(time / 30));
        }
    }

    #[test]
    fn clocks_may_differ_by_a_step_and_no_more() {
        let seed = b"12345678901234567890";
        let now = 1_111_111_111;
        let typed = present_code(seed, now);
        assert!(step_of(seed, &typed, now + 30).is_some());
        assert!(step_of(seed, &typed, now - 30).is_some());
        assert!(step_of(seed, &typed, now + 60).is_none());
        assert!(step_of(seed, &typed, now - 60).is_none());
        assert!(step_of(seed, " 050 471 ", now).is_some());
        for bad in ["", "50471", "0504711", "05047a", "٠٥٠٤٧١"] {
            assert!(step_of(seed, bad, now).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_app_reads_the_uri() {
        let uri = uri(b"12345678901234567890", "Halden & Co", "a@b.example");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Halden%20%26%20Co:a@b.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Halden%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
    }
}
