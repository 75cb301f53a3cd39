//! Returns of sign-in services: whatever a browser brings is read whole or not at all, no parameter of
//! ours counts that came twice, and what was read is what stands there.

#![no_main]

use graph::Return;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let Some(found) = Return::parse(data) else {
        return;
    };
    assert!(data.len() <= 16 * 1024);
    let mut again = url::form_urlencoded::Serializer::new(String::new());
    again.append_pair("state", &found.state);
    let rest = [
        ("tenant", &found.tenant),
        ("scope", &found.scope),
        ("error", &found.error),
        ("error_description", &found.error_description),
        ("code", &found.code),
        ("iss", &found.iss),
    ];
    for (name, value) in rest {
        if let Some(value) = value {
            again.append_pair(name, value);
        }
    }
    let again = again.finish();
    if again.len() <= 16 * 1024 {
        assert_eq!(Return::parse(&again).as_ref(), Some(&found));
        assert_eq!(Return::parse(&format!("{again}&state=x")), None);
    }
    // Another reader of the same text does not see twice what counts once.
    for name in ["state", "code", "tenant", "iss"] {
        let seen = url::form_urlencoded::parse(data.as_bytes()).filter(|(n, _)| n == name);
        assert!(seen.count() <= 1);
    }
});
