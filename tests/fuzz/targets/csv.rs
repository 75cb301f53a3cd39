//! Cells of exports: whatever a name is, no spreadsheet takes it for a formula, and who reads the file
//! has the name again.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../crates/report/src/csv/cell.rs"]
mod cell;

fuzz_target!(|data: &str| {
    let texts: Vec<&str> = data.split('\u{1}').collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(texts.iter().map(|text| cell::cell(text).into_owned())).unwrap();
    let bytes = writer.into_inner().unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&bytes[..]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].len(), texts.len());
    for (read, text) in rows[0].iter().zip(texts) {
        assert!(!read.starts_with(['=', '+', '-', '@', '\t', '\r', '\0']));
        // Whoever takes one apostrophe away from before a formula has the name again.
        let is_marked = read.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\0']);
        assert_eq!(if is_marked { &read[1..] } else { read }, text);
    }
});
