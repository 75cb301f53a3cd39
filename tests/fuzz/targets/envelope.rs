//! Envelopes as they come from the database: whatever the bytes are, they do not open and nothing
//! breaks; and what was sealed opens at its place alone, whichever bit of it is changed.

#![no_main]

use keys::{ContentKey, Place, Sealed};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fn place(row: u128) -> Place<'static> {
    Place {
        partner: Uuid::from_u128(1),
        table: "credentials",
        column: "sealed",
        row: Uuid::from_u128(row),
    }
}

fuzz_target!(|data: &[u8]| {
    let key = ContentKey::from_slice(&[7; 32]).unwrap();
    assert!(key.open(place(1), &Sealed::from_bytes(data.to_vec())).is_err());
    let sealed = key.seal(place(1), data).unwrap();
    assert_eq!(&key.open(place(1), &sealed).unwrap()[..], data);
    assert!(key.open(place(2), &sealed).is_err());
    let mut bytes = sealed.as_bytes().to_vec();
    let at = data.iter().map(|b| usize::from(*b)).sum::<usize>() % (bytes.len() * 8);
    bytes[at / 8] ^= 1 << (at % 8);
    assert!(key.open(place(1), &Sealed::from_bytes(bytes)).is_err());
});
