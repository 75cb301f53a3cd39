//! Documents that promise: each row names a test that exists.

use std::path::Path;

#[test]
fn each_instruction_of_the_documents_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    for folder in [
        "tests/it",
        "crates/graph/src",
        "crates/consent/src",
        "crates/model/src/credential",
    ] {
        for file in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|e| e == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let walk = include_str!("../e2e/walk.mjs");
    let mut rows = 0;
    for line in include_str!("../../docs/connections.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if cells.len() != 6 || !["000", "001", "002", "003", "004"].contains(&cells[1]) {
            continue;
        }
        rows += 1;
        let test = cells[4].trim_matches('`');
        let exists = match test.strip_prefix("walk: ") {
            Some(picture) => walk.contains(&format!("look('{picture}'")),
            None => sources.contains(&format!("fn {test}(")),
        };
        assert!(exists, "{line}: there is no test {test}");
    }
    assert!(rows > 50, "{rows} rows");
}
