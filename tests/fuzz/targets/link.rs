//! Links of answers: whatever is followed leads to the same server for two parsers that do not know
//! each other, below the version, and names no user.

#![no_main]

use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|data: &str| {
    let root: Url = "https://graph.microsoft.com/".parse().unwrap();
    // Half of the inputs begin as ours do, so that the rest of an address is tried as well.
    for link in [data.to_owned(), format!("https://graph.microsoft.com{data}")] {
        let Some(url) = graph::link::follow(&root, "v1.0", &link) else {
            continue;
        };
        assert_eq!(url.origin(), root.origin());
        assert!(url.username().is_empty() && url.password().is_none());
        assert!(url.path().starts_with("/v1.0/"));
        let sent: http::Uri = url.as_str().parse().expect("what is sent is an address");
        assert_eq!(sent.host(), Some("graph.microsoft.com"));
        assert!(!sent.authority().is_some_and(|a| a.as_str().contains('@')));
        assert_eq!(sent.scheme_str(), Some("https"));
    }
});
