//! Networks: whom limits count together, and which addresses belong to proxies.
//!
//! One customer gets an IPv4 address or an IPv6 /64, and a small attacker a handful of neighbours: so IPv4 counts by
//! /24. Loopback counts by address, because everything on one machine would be one network otherwise.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv6Net};

/// The network that an address is counted under: a /24, a /64, or one loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    /// The network of this address; an IPv4 address in IPv6 clothes is that IPv4 address.
    pub fn of(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let bits = match ip {
            _ if ip.is_loopback() => return Self(ip),
            IpAddr::V4(_) => 24,
            IpAddr::V6(_) => 64,
        };
        Self(IpNet::new(ip, bits).map_or(ip, |net| net.network()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ip if ip.is_loopback() => write!(f, "{ip}"),
            IpAddr::V4(ip) => write!(f, "{ip}/24"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// The addresses of proxies: `10.0.0.0/8, 192.0.2.7, 2001:db8::/32`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedNetworks(Vec<IpNet>);

impl TrustedNetworks {
    /// Whether the address is in one of them.
    pub fn contain(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is not a list of networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotANetwork {
    /// An entry is neither an address nor a network.
    #[error(
        "{0:?} is no address or network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32, with commas between"
    )]
    Unreadable(String),
    /// Everybody would be a proxy, and so could be anybody.
    #[error("{0:?} is everybody: then each client could name itself; write the proxies' networks")]
    Everybody(String),
}

impl FromStr for TrustedNetworks {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let entries = text.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
        entries.map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let unreadable = || NotANetwork::Unreadable(text.to_owned());
    let net = match text.parse::<IpAddr>() {
        Ok(ip) => IpNet::from(ip.to_canonical()),
        Err(_) => canonical(text.parse().map_err(|_| unreadable())?),
    };
    match net.prefix_len() {
        0 => Err(NotANetwork::Everybody(text.to_owned())),
        _ => Ok(net.trunc()),
    }
}

/// `::ffff:10.0.0.0/104` is 10.0.0.0/8: addresses are compared in that form.
fn canonical(net: IpNet) -> IpNet {
    let mapped = |net: Ipv6Net| {
        let v4 = net.addr().to_ipv4_mapped()?;
        IpNet::new(v4.into(), net.prefix_len().checked_sub(96)?).ok()
    };
    match net {
        IpNet::V6(v6) => mapped(v6).unwrap_or(net),
        IpNet::V4(_) => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ip: &str) -> Network {
        Network::of(ip.parse().unwrap())
    }

    #[test]
    fn neighbours_are_one_network_and_loopback_addresses_are_not() {
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.9"), of("192.0.2.1"));
        assert_ne!(of("127.0.0.1"), of("127.0.0.2"));
        assert_eq!(of("192.0.2.9").to_string(), "192.0.2.0/24");
        assert_eq!(of("2001:db8::9").to_string(), "2001:db8::/64");
        assert_eq!(of("::1").to_string(), "::1");
    }

    #[test]
    fn proxies_are_networks_and_addresses() {
        let all: TrustedNetworks =
            "10.1.2.3/8, 192.0.2.7 2001:db8::/32,::ffff:172.16.0.0/108".parse().unwrap();
        for inside in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1", "172.31.0.1", "::ffff:10.0.0.1"] {
            assert!(all.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "172.32.0.1"] {
            assert!(!all.contain(outside.parse().unwrap()), "{outside}");
        }
        assert!("".parse::<TrustedNetworks>().unwrap().is_empty());
        for bad in ["10.0.0.0/33", "proxy.internal", "10.0.0", "0.0.0.0/0", "::/0", "10.0.0.0/8;1.1.1.1"] {
            assert!(bad.parse::<TrustedNetworks>().is_err(), "{bad}");
        }
    }
}
