//! Bodies of answers: whatever comes is a page or an error, never a panic.

#![no_main]

use graph::{Change, WirePage, types};
use libfuzzer_sys::fuzz_target;

fn decode<T: serde::de::DeserializeOwned>(data: &[u8]) {
    let _ = serde_json::from_slice::<WirePage<T>>(data);
    let _ = serde_json::from_slice::<WirePage<Change<T>>>(data);
}

fuzz_target!(|data: &[u8]| {
    decode::<types::User>(data);
    decode::<types::Group>(data);
    decode::<types::Device>(data);
    decode::<types::Application>(data);
    decode::<types::ServicePrincipal>(data);
    decode::<types::RiskDetection>(data);
    decode::<types::DirectoryAudit>(data);
    decode::<types::SecureScore>(data);
});
