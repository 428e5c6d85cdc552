//! Who the client of a request is: the holder of the socket, or whom a trusted proxy names.
//!
//! Everything that limits by client uses this one address. Anybody can send `X-Forwarded-For`, so a header counts
//! only when the socket belongs to a proxy that the operator named, and of its entries only what such proxies wrote.

mod header;
mod network;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, header::FORWARDED},
};

pub use axum::http::HeaderName;
pub use network::{Network, NotANetwork, TrustedNetworks};

/// What proxies usually write, so that one that nobody configured is noticed.
const USUAL: [&str; 3] = ["x-forwarded-for", "forwarded", "x-real-ip"];

/// The client of a request, found by [`Proxies::client`]; an extension of each request that the server hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub IpAddr);

impl Client {
    /// Whom the server found; for a router that runs without our server, the socket's address if anybody noted it.
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        let socket = || extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        extensions.get::<Self>().map(|client| client.0).or_else(socket)
    }
}

/// Which proxies may say who the client is, and in which header. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Proxies {
    trusted: TrustedNetworks,
    header: HeaderName,
    told: Arc<AtomicBool>,
}

impl Default for Proxies {
    fn default() -> Self {
        Self::new(TrustedNetworks::default(), HeaderName::from_static("x-forwarded-for"))
    }
}

impl Proxies {
    /// Proxies in these networks name the client in this header.
    pub fn new(trusted: TrustedNetworks, header: HeaderName) -> Self {
        Self { trusted, header, told: Arc::default() }
    }

    /// Whether this peer is a proxy whose word counts.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contain(peer)
    }

    /// The client: of what a trusted proxy says, the last address that is not a trusted proxy itself. Whatever cannot be
    /// read counts as the proxy's own address.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            self.warn_once(headers);
            return peer;
        }
        let entries = match self.header == FORWARDED {
            true => header::forwarded(headers),
            false => header::addresses(headers, &self.header),
        };
        let mut last = peer;
        for entry in entries.into_iter().rev() {
            match entry {
                Some(ip) if self.trusts(ip) => last = ip,
                Some(ip) => return ip,
                None => return peer,
            }
        }
        last
    }

    /// Behind a proxy that nobody named, all users are one client and share one client's limits.
    fn warn_once(&self, headers: &HeaderMap) {
        let names = || USUAL.into_iter().find(|name| headers.contains_key(*name));
        if !self.trusted.is_empty() || self.told.load(Ordering::Relaxed) {
            return;
        }
        if let Some(name) = names().filter(|_| !self.told.swap(true, Ordering::Relaxed)) {
            tracing::warn!(
                header = name,
                "requests carry {name} and api.trusted_proxies is not set: if a reverse proxy stands in front, all of \
                 its users count as one client for every limit; name its addresses there"
            );
        }
    }

    /// Whether the warning was given.
    #[cfg(test)]
    fn has_warned(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn lines(name: &'static str, values: &[&str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    fn behind(trusted: &str, header: &'static str) -> Proxies {
        Proxies::new(trusted.parse().unwrap(), HeaderName::from_static(header))
    }

    #[test]
    fn the_last_untrusted_address_from_the_right_is_the_client() {
        let proxies = behind("10.0.0.0/8, 2001:db8:aaaa::/48", "x-forwarded-for");
        for (values, client) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            (&["6.6.6.6", "203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            (&["203.0.113.9:4711,10.2.2.2:80"], "203.0.113.9"),
            (&["[2001:db8::7]:443 , 2001:db8:aaaa::1"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&["::ffff:10.3.3.3"], "10.3.3.3"),
            (&["nonsense, 203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9,, ,"], "203.0.113.9"),
            // Every proxy is ours: the first one asked.
            (&["10.4.4.4, 10.5.5.5"], "10.4.4.4"),
        ] {
            assert_eq!(
                proxies.client(ip("10.0.0.1"), &lines("x-forwarded-for", values)),
                ip(client),
                "{values:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_the_proxy() {
        let proxies = behind("10.0.0.1", "x-forwarded-for");
        for bad in [
            "unknown",
            "203.0.113.9, evil",
            "203.0.113.9:99999",
            "fe80::1%eth0",
            "1.2.3",
            "[::1",
            "1.2.3.4 5.6.7.8",
        ] {
            assert_eq!(
                proxies.client(ip("10.0.0.1"), &lines("x-forwarded-for", &[bad])),
                ip("10.0.0.1"),
                "{bad}"
            );
        }
        assert_eq!(proxies.client(ip("10.0.0.1"), &HeaderMap::new()), ip("10.0.0.1"));
        let mut odd = HeaderMap::new();
        odd.insert("x-forwarded-for", axum::http::HeaderValue::from_bytes(b"203.0.113.9\xff").unwrap());
        assert_eq!(proxies.client(ip("10.0.0.1"), &odd), ip("10.0.0.1"));
    }

    #[test]
    fn a_header_of_somebody_who_is_no_proxy_counts_for_nothing() {
        let forged = lines("x-forwarded-for", &["203.0.113.9"]);
        let proxies = behind("10.0.0.0/8", "x-forwarded-for");
        assert_eq!(proxies.client(ip("192.0.2.1"), &forged), ip("192.0.2.1"));
        assert_eq!(proxies.client(ip("::ffff:192.0.2.1"), &forged), ip("192.0.2.1"));
        assert_eq!(proxies.client(ip("::ffff:10.0.0.1"), &forged), ip("203.0.113.9"));
        // The configured header is the only one.
        let proxies = behind("10.0.0.0/8", "cf-connecting-ip");
        assert_eq!(proxies.client(ip("10.0.0.1"), &forged), ip("10.0.0.1"));
        let named = lines("cf-connecting-ip", &["203.0.113.9"]);
        assert_eq!(proxies.client(ip("10.0.0.1"), &named), ip("203.0.113.9"));
    }

    #[test]
    fn the_standard_header_is_read_by_its_own_grammar() {
        let proxies = behind("10.0.0.0/8", "forwarded");
        for (values, client) in [
            (&["for=203.0.113.9"][..], "203.0.113.9"),
            (&["for=6.6.6.6;proto=http, For=\"203.0.113.9:80\";by=10.0.0.1"], "203.0.113.9"),
            (&["for=6.6.6.6", "proto=https;for=\"[2001:db8::7]:4711\""], "2001:db8::7"),
            (&["for=203.0.113.9;host=\"a,b;for=6.6.6.6\""], "203.0.113.9"),
            (&["for=203.0.113.9, for=10.9.9.9"], "203.0.113.9"),
            (&["for=unknown"], "10.0.0.1"),
            (&["for=_hidden"], "10.0.0.1"),
            (&["for=203.0.113.9;for=6.6.6.6"], "10.0.0.1"),
            (&["proto=https"], "10.0.0.1"),
            (&["for=\"203.0.113.9"], "10.0.0.1"),
        ] {
            assert_eq!(proxies.client(ip("10.0.0.1"), &lines("forwarded", values)), ip(client), "{values:?}");
        }
    }

    #[test]
    fn a_proxy_that_nobody_configured_is_noticed_once() {
        let proxies = Proxies::default();
        proxies.client(ip("10.0.0.1"), &HeaderMap::new());
        assert!(!proxies.has_warned());
        proxies.client(ip("10.0.0.1"), &lines("x-forwarded-for", &["203.0.113.9"]));
        assert!(proxies.has_warned());
        let configured = behind("10.0.0.0/8", "x-forwarded-for");
        configured.client(ip("192.0.2.1"), &lines("x-forwarded-for", &["203.0.113.9"]));
        assert!(!configured.has_warned(), "who forges the header is no proxy that was forgotten");
    }
}
