//! Where tokio-postgres will connect to and what it will check, read from its own parsed configuration.
//!
//! It connects to `hostaddr` where there is one, whatever the host is called, and tries every host there is.

use backshift_core::way::{Authority, Check, Encryption, Way, is_this_machine};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use super::address::Verify;

/// One place that may be connected to, and whether it is this machine.
pub(super) struct Target {
    host: String,
    port: u16,
    pub(super) local: bool,
    pub(super) socket: bool,
}

/// Every place that this configuration may connect to.
pub(super) fn targets(config: &Config) -> Vec<Target> {
    let (hosts, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let one = |n: usize| {
        let (host, socket) = match (addresses.get(n), hosts.get(n)) {
            (Some(address), _) => (address.to_string(), false),
            (None, Some(Host::Tcp(name))) => (name.clone(), false),
            (None, Some(Host::Unix(path))) => (path.display().to_string(), true),
            (None, None) => (String::new(), false),
        };
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        let local = socket || is_this_machine(&host);
        Target { host, port, local, socket }
    };
    (0..hosts.len().max(addresses.len())).map(one).collect()
}

/// The same as [`Way`]s, with what is done on them.
pub(super) fn ways(targets: &[Target], mode: SslMode, verify: Verify, authority: &Authority) -> Vec<Way> {
    let check = match verify {
        Verify::Nothing => Check::Nothing,
        Verify::Authority => Check::Signer,
        Verify::Full => Check::Full,
    };
    let one = |target: &Target| Way {
        service: "PostgreSQL",
        host: target.host.clone(),
        port: target.port,
        local: target.local,
        encryption: match mode {
            _ if target.socket => Encryption::Never,
            SslMode::Disable => Encryption::Never,
            SslMode::Require => Encryption::Always,
            _ => Encryption::IfOffered,
        },
        check,
        authority: authority.clone(),
    };
    targets.iter().map(one).collect()
}
