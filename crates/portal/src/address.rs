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

/// Whether addresses tell visitors apart: behind a proxy that nobody named they are all the proxy's.
pub(crate) fn tells_apart(portal: &Portal) -> bool {
    !portal.is_secure() || !portal.trusted_proxies.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

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
