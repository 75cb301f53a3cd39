//! The log: whatever an event holds is one line, without a control character or a change of direction.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../crates/cli/src/log/clean.rs"]
mod clean;

fuzz_target!(|data: &[u8]| {
    for is_json in [false, true] {
        let mut written = Vec::new();
        let mut clean = clean::Clean { to: &mut written, is_json };
        assert_eq!(clean.write(data).unwrap(), data.len());
        let text = String::from_utf8(written).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        let strange = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || "\u{2028}\u{2029}".contains(c);
        assert!(!line.contains(strange), "{line:?}");
    }
});
