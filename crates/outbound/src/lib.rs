//! Requests to addresses that a member typed: sign-in providers and webhooks. They reach the public
//! internet and nothing else, so that nobody makes this server ask its own network for them.
//!
//! A name is resolved once, every address that it stands for is looked at, and the connection goes to
//! one of those: a name that answers differently a moment later (DNS rebinding) changes nothing. There
//! are no redirects. What the operator allows beside it (`[outbound] allow`) is a list of networks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
pub use reqwest::Client;
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

/// Why an address is refused, in words for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No https.
    #[error("Enter an address that begins with https://.")]
    Scheme,
    /// A user or password in it.
    #[error("Enter the address without a user name or password in it.")]
    Credentials,
    /// An address of a network that is not public.
    #[error(
        "This address is in a private network. Ask your operator to allow it: [outbound] allow."
    )]
    Private,
}

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    allowed: Arc<[IpNet]>,
}

impl Outbound {
    /// The public internet, and these networks beside it.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// Whether a connection to the address may be made.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|net| net.contains(&address))
    }

    /// Looks at an address before anything is resolved: its scheme and, where its host is a number,
    /// that. Plain http is accepted where the operator allowed the network by number, or for
    /// `localhost`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        let number = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain("localhost")) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(Host::Domain(_)) => None,
            None => return Err(Refused::Scheme),
        };
        let is_allowed_number = number.is_some_and(|ip| self.allows(ip) && !is_public(ip));
        match url.scheme() {
            "https" => {}
            "http" if is_allowed_number => {}
            _ => return Err(Refused::Scheme),
        }
        match number {
            Some(ip) if !self.allows(ip) => Err(Refused::Private),
            _ => Ok(()),
        }
    }

    /// The addresses of a host that a connection may be made to, for what is not HTTP. One that may not be
    /// reached spoils the name: whoever mixes them means no good.
    ///
    /// # Errors
    /// When the name has no address, or one that is refused, in words for who typed it.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found
            .map_err(|_| "The name has no address.".to_owned())?
            .collect();
        match found.is_empty() || !found.iter().all(|a| self.allows(a.ip())) {
            true => Err(Refused::Private.to_string()),
            false => Ok(found),
        }
    }

    /// Whether all of these are outside of the public internet, where the operator allowed them.
    pub fn is_near(&self, addresses: &[SocketAddr]) -> bool {
        addresses
            .iter()
            .all(|a| !is_public(a.ip().to_canonical()) && self.allows(a.ip()))
    }

    /// A client that resolves names under this policy. An address whose host is a number is the
    /// caller's to [`check`](Self::check), because nothing resolves it.
    ///
    /// # Errors
    /// When the platform's certificates cannot be read.
    pub fn client(&self) -> Result<Client, reqwest::Error> {
        Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(20))
            .dns_resolver(Arc::new(Resolver(self.clone())))
            .user_agent(concat!("Tenantry/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

struct Resolver(Outbound);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One that is not allowed spoils the name: whoever mixes them means no good.
            if found.is_empty() || !found.iter().all(|a| policy.allows(a.ip())) {
                return Err(Box::new(Refused::Private).into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address is reached over the public internet. Sources: IANA's registries of special
/// purpose addresses for IPv4 and IPv6 (RFC 6890), as of 2026.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = match (a, b, c) {
        // This network, private, loopback, link local (where clouds keep their metadata).
        (0 | 10 | 127, ..) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Shared (carrier NAT), protocol assignments, documentation, 6to4 relays, benchmarks.
        (100, 64..=127, _) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) => true,
        (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // An IPv4 address inside: mapped, translated (64:ff9b::/96) or 6to4 (2002::/16).
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if s[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return inner(s[6], s[7]);
    }
    if s[0] == 0x2002 {
        return inner(s[1], s[2]);
    }
    // Global unicast is 2000::/3; of it, not Teredo and protocol assignments (2001::/23),
    // documentation (2001:db8::/32, 3fff::/20).
    let is_global = s[0] & 0xe000 == 0x2000;
    let is_special = matches!(
        (s[0], s[1]),
        (0x2001, ..0x0200 | 0x0db8) | (0x3fff, ..0x1000)
    );
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &Outbound, text: &str) -> Result<(), Refused> {
        policy.check(&text.parse().unwrap())
    }

    #[test]
    fn numbers_of_private_networks_are_refused_however_they_are_written() {
        let policy = Outbound::default();
        for bad in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0.0.0.0/",
            "https://localhost/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://172.31.255.255/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://100.64.0.1/",
            "https://198.18.0.1/",
            "https://192.0.2.1/",
            "https://198.51.100.1/",
            "https://203.0.113.1/",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001:db8::1]/",
            "https://[ff02::1]/",
        ] {
            assert_eq!(check(&policy, bad), Err(Refused::Private), "{bad}");
        }
        for good in [
            "https://id.example.com/",
            "https://8.8.8.8/",
            "https://172.32.0.1/",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(check(&policy, good), Ok(()), "{good}");
        }
    }

    #[test]
    fn only_https_without_a_password() {
        let policy = Outbound::default();
        for bad in [
            "http://id.example.com/",
            "ftp://id.example.com/",
            "file:///etc/passwd",
            "gopher://x/",
        ] {
            assert_eq!(check(&policy, bad), Err(Refused::Scheme), "{bad}");
        }
        let bad = "https://id.example.com@127.0.0.1/";
        assert_eq!(check(&policy, bad), Err(Refused::Credentials));
    }

    #[test]
    fn what_the_operator_allows_is_reached_even_over_http() {
        let policy = Outbound::new(&["127.0.0.0/8".parse().unwrap()]);
        assert_eq!(check(&policy, "http://127.0.0.1:8090/"), Ok(()));
        assert_eq!(check(&policy, "http://localhost:8090/"), Ok(()));
        assert_eq!(check(&policy, "https://10.0.0.1/"), Err(Refused::Private));
        assert_eq!(check(&policy, "http://8.8.8.8/"), Err(Refused::Scheme));
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_resolved() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // `localhost` resolves without a network, to what nobody may reach.
        let client = Outbound::default().client().unwrap();
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        assert!(format!("{error:?}").contains("Private"), "{error:?}");
    }
}
