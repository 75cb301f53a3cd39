//! From where a request comes: the peer, or, behind proxies that the operator trusts, whom they name.

use std::net::IpAddr;

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::Portal;

/// The visitor's address. `X-Forwarded-For` is believed from its right, as far as each address in it
/// was written by a trusted proxy; what stands further left anybody may have written.
pub(crate) fn address(portal: &Portal, request: &HttpRequest) -> String {
    let Some(peer) = request.peer_addr().map(|a| a.ip()) else {
        return String::new();
    };
    let forwarded: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    visitor(peer, &forwarded, &portal.trusted_proxies).to_string()
}

fn visitor(peer: IpAddr, forwarded: &[&str], trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    for named in forwarded.iter().rev() {
        if !trusted.iter().any(|net| net.contains(&address)) {
            break;
        }
        match named.trim().parse::<IpAddr>() {
            Ok(named) => address = named.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

/// Whether a request came to a server that browsers reach over TLS without any: past the proxies that
/// the operator named, or by one that says it was asked without. This machine itself may ask; where no
/// proxy was named, nobody can know.
pub(crate) fn is_past_proxy(portal: &Portal, request: &HttpRequest) -> bool {
    let proto = request.headers().get("x-forwarded-proto");
    let proto = proto.and_then(|v| v.to_str().ok());
    portal.is_secure()
        && request.peer_addr().is_some_and(|peer| {
            is_without_tls(peer.ip().to_canonical(), proto, &portal.trusted_proxies)
        })
}

fn is_without_tls(peer: IpAddr, proto: Option<&str>, trusted: &[IpNet]) -> bool {
    if trusted.iter().any(|net| net.contains(&peer)) {
        // The last that was added is of the nearest proxy.
        let last = proto.and_then(|p| p.rsplit(',').next()).map(str::trim);
        return last.is_some_and(|p| !p.eq_ignore_ascii_case("https"));
    }
    !trusted.is_empty() && !peer.is_loopback()
}

/// Whether addresses tell visitors apart: behind a proxy that nobody named they are all the proxy's.
pub(crate) fn tells_apart(portal: &Portal) -> bool {
    !portal.is_secure() || !portal.trusted_proxies.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_past_the_proxy_is_known_where_a_proxy_was_named() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        for (peer, proto, trusted, wanted) in [
            ("10.0.0.1", Some("https"), &trusted[..], false),
            ("10.0.0.1", Some("http, https"), &trusted, false),
            ("10.0.0.1", None, &trusted, false),
            ("10.0.0.1", Some("http"), &trusted, true),
            ("10.0.0.1", Some("https, http"), &trusted, true),
            ("203.0.113.9", Some("https"), &trusted, true),
            ("203.0.113.9", None, &trusted, true),
            ("127.0.0.1", None, &trusted, false),
            ("203.0.113.9", None, &[], false),
        ] {
            let found = is_without_tls(peer.parse().unwrap(), proto, trusted);
            assert_eq!(found, wanted, "{peer} {proto:?}");
        }
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (peer, forwarded, wanted) in [
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            (
                "10.0.0.1",
                vec!["192.0.2.7", " 198.51.100.1"],
                "198.51.100.1",
            ),
            ("10.0.0.1", vec!["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1", "nonsense"], "10.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("::ffff:10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("::1", vec!["2001:db8::5"], "2001:db8::5"),
        ] {
            assert_eq!(
                visitor(ip(peer), &forwarded, &trusted),
                ip(wanted),
                "{peer} {forwarded:?}"
            );
        }
        assert_eq!(
            visitor(ip("10.0.0.1"), &["198.51.100.1"], &[]),
            ip("10.0.0.1")
        );
    }
}
