//! The envelope: `version ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Error, random_bytes};

const VERSION: u8 = 1;

/// Where a sealed value lives. It is authenticated with the ciphertext, so that a value copied to
/// another place does not open there.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The partner that owns the row.
    pub partner: Uuid,
    /// Table name.
    pub table: &'a str,
    /// Column name.
    pub column: &'a str,
    /// Primary key of the row within the partner.
    pub row: Uuid,
}

impl Place<'_> {
    /// Unambiguous bytes: each variable part is preceded by its length.
    pub(crate) fn aad(&self) -> Vec<u8> {
        let mut aad = vec![VERSION];
        for part in [
            self.partner.as_bytes().as_slice(),
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.row.as_bytes().as_slice(),
        ] {
            aad.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            aad.extend_from_slice(part);
        }
        aad
    }
}

/// An encrypted value as stored in a binary column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes read back from storage; they are checked when opened.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// 256 bits of AES key, wiped when dropped. Boxed, so that moving it leaves no copy behind.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey(Box<[u8; 32]>);

impl std::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

impl ContentKey {
    /// A fresh random key.
    pub fn generate() -> Result<Self, Error> {
        let mut key = Self(Box::new([0; 32]));
        crate::fill_random(&mut *key.0)?;
        Ok(key)
    }

    /// A key from its 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != 32 {
            return Err(Error::Malformed("a key has 32 bytes"));
        }
        let mut key = Self(Box::new([0; 32]));
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// Its 32 bytes, for whoever wraps it.
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        Ok(LessSafeKey::new(
            UnboundKey::new(&AES_256_GCM, self.bytes())
                .map_err(|_| Error::Malformed("key length"))?,
        ))
    }

    /// Encrypts `plain` for `place` under a random 96-bit nonce.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Sealed, Error> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut out = Vec::with_capacity(1 + NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.aad()),
                &mut body,
            )
            .map_err(|_| Error::Unopenable)?;
        out.extend_from_slice(&body);
        out.extend_from_slice(tag.as_ref());
        Ok(Sealed(out))
    }

    /// Decrypts what [`ContentKey::seal`] made for the same `place`.
    ///
    /// # Errors
    /// [`Error::Unopenable`] for a wrong key, another place or any altered bit.
    pub fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        let Some((&VERSION, rest)) = sealed.as_bytes().split_first() else {
            return Err(Error::Malformed("unknown version"));
        };
        let parts = rest.split_at_checked(NONCE_LEN);
        let (nonce, body) = parts.ok_or(Error::Malformed("too short"))?;
        self.decrypt(nonce, &place.aad(), body)
    }

    /// AES-256-GCM itself: `body` is ciphertext and tag.
    pub(crate) fn decrypt(
        &self,
        nonce: &[u8],
        aad: &[u8],
        body: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let nonce =
            Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Malformed("nonce"))?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(aad), &mut body)
            .map_err(|_| Error::Unopenable)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(row: u128, column: &str) -> Place<'_> {
        Place {
            partner: Uuid::from_u128(1),
            table: "credentials",
            column,
            row: Uuid::from_u128(row),
        }
    }

    #[test]
    fn a_value_opens_only_at_its_place_with_its_key() {
        let key = ContentKey::generate().unwrap();
        let sealed = key.seal(place(2, "secret"), b"hush").unwrap();
        assert_eq!(
            &*key.open(place(2, "secret"), &sealed).unwrap(),
            b"hush".as_slice()
        );
        assert!(key.open(place(3, "secret"), &sealed).is_err());
        assert!(key.open(place(2, "other"), &sealed).is_err());
        assert!(
            ContentKey::generate()
                .unwrap()
                .open(place(2, "secret"), &sealed)
                .is_err()
        );
    }

    /// Each of many values opens at its own place and at none of the others'.
    #[test]
    fn no_two_places_can_be_swapped() {
        let key = ContentKey::generate().unwrap();
        let mut places = vec![];
        for partner in 1..=3_u128 {
            for table in ["credentials", "credential_secrets", "credential"] {
                for column in ["sealed", "secret", "ssealed"] {
                    for row in 1..=3_u128 {
                        places.push(Place {
                            partner: Uuid::from_u128(partner),
                            table,
                            column,
                            row: Uuid::from_u128(row),
                        });
                    }
                }
            }
        }
        let sealed: Vec<Sealed> = places
            .iter()
            .map(|place| key.seal(*place, b"hush").unwrap())
            .collect();
        for (i, place) in places.iter().enumerate() {
            for (j, sealed) in sealed.iter().enumerate() {
                assert_eq!(
                    key.open(*place, sealed).is_ok(),
                    i == j,
                    "{place:?} and {j}"
                );
            }
        }
        println!(
            "B8: {} swaps, none opens",
            places.len() * (places.len() - 1)
        );
    }

    /// Nonces are random: as many as a key may seal in years have no two alike.
    #[test]
    #[ignore = "ten seconds: ./scripts/assure B8"]
    fn ten_million_nonces_have_no_two_alike() {
        let mut nonces: Vec<[u8; NONCE_LEN]> =
            (0..10_000_000).map(|_| random_bytes().unwrap()).collect();
        nonces.sort_unstable();
        assert!(nonces.windows(2).all(|two| two[0] != two[1]));
        println!("B8: {} nonces, no two alike", nonces.len());
    }

    #[test]
    fn what_was_cut_off_is_noticed_at_every_length() {
        let key = ContentKey::generate().unwrap();
        let place = Place {
            partner: Uuid::nil(),
            table: "t",
            column: "c",
            row: Uuid::nil(),
        };
        let whole = key.seal(place, b"secret").unwrap();
        for length in 0..whole.as_bytes().len() {
            let cut = Sealed::from_bytes(whole.as_bytes()[..length].to_vec());
            assert!(key.open(place, &cut).is_err(), "{length}");
        }
        assert_eq!(&**key.open(place, &whole).unwrap(), b"secret");
        assert_eq!(format!("{key:?}"), "ContentKey(…)");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key = ContentKey::generate().unwrap();
        let sealed = key.seal(place(2, "secret"), b"hush").unwrap();
        for bit in 0..sealed.as_bytes().len() * 8 {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                key.open(place(2, "secret"), &Sealed::from_bytes(bytes))
                    .is_err(),
                "bit {bit}"
            );
        }
    }
}
