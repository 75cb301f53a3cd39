//! Which links of an answer may be followed: the token goes along.

use url::Url;

/// Graph's own delta links have some thousand characters.
const LONGEST: usize = 16 * 1024;

/// The link, when it leads to the origin of `root` (scheme, host and port), below `version`, and
/// carries neither a user name nor a fragment; `None` for any other, which is not followed.
///
/// Microsoft's own libraries withhold the token from another host but still take its rows; here
/// the whole answer is refused.
pub fn follow(root: &Url, version: &str, link: &str) -> Option<Url> {
    // What the parser would silently drop is no part of any link that Graph writes.
    if link.len() > LONGEST || link.chars().any(|c| c.is_control() || c == '\\') {
        return None;
    }
    let url = Url::parse(link).ok()?;
    let base = format!("{}/{version}/", root.path().trim_end_matches('/'));
    let is_ours = url.origin() == root.origin()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.path().starts_with(&base);
    is_ours.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_below_the_version_of_the_same_origin_are_followed() {
        let graph: Url = "https://graph.microsoft.com/".parse().unwrap();
        for ours in [
            "https://graph.microsoft.com/v1.0/users?$skiptoken=x",
            "https://GRAPH.microsoft.com:443/v1.0/users?$skiptoken=x",
        ] {
            assert!(follow(&graph, "v1.0", ours).is_some(), "{ours}");
        }
        let long = |length: usize| {
            let root = "https://graph.microsoft.com/v1.0/users?";
            root.to_owned() + &"x".repeat(length - root.len())
        };
        assert!(follow(&graph, "v1.0", &long(16_384)).is_some());
        assert!(follow(&graph, "v1.0", &long(16_385)).is_none());
        for foreign in [
            "https://evil.example/v1.0/users",
            "http://graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com:8443/v1.0/users",
            "https://graph.microsoft.com@evil.example/v1.0/users",
            "https://user@graph.microsoft.com/v1.0/users",
            "https://user:word@graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com.evil.example/v1.0/users",
            "https://evilgraph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com./v1.0/users",
            "https://gr\u{e4}ph.microsoft.com/v1.0/users",
            "https://graph.m\u{456}crosoft.com/v1.0/users",
            "https://graph.microsoft.com\\@evil.example/v1.0/users",
            "https://graph.microsoft.com/v1.0/users\r\nHost: evil.example",
            "https:\t//graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com/beta/users",
            "https://graph.microsoft.com/v1.0/../beta/users",
            "https://graph.microsoft.com/v1.0/users#fragment",
            "//evil.example/v1.0/users",
            "/v1.0/users",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:application/json,{}",
            "",
            &format!(
                "https://graph.microsoft.com/v1.0/users?x={}",
                "x".repeat(16 * 1024)
            ),
        ] {
            assert!(follow(&graph, "v1.0", foreign).is_none(), "{foreign}");
        }
    }
}
