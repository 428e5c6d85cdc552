//! What a client really does on the way to a server, judged by one function for every protocol.
//!
//! Each client fills a [`Way`] in from its own parsed configuration, never from the text of a URL: what a text seems to
//! say and what a client does with it are two things (a second host, `hostaddr`, a mode that is given twice).

use std::{fmt, net::IpAddr};

/// The way to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// `PostgreSQL`, `RabbitMQ`, `SMTP`.
    pub service: &'static str,
    /// Where the packets go: a name, an address, or the path of a socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether that is this machine.
    pub local: bool,
    /// Whether it is encrypted.
    pub encryption: Encryption,
    /// What is checked of the server's certificate.
    pub check: Check,
    /// Who must have signed it.
    pub authority: Authority,
}

/// Whether anybody between can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Clear text.
    Never,
    /// When the server offers it: whoever stands between decides, so it protects nothing.
    IfOffered,
    /// Always, or there is no connection.
    Always,
}

/// What is checked of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing: anybody can be the server.
    Nothing,
    /// Who signed it, and not for whom: whoever has a certificate of this authority can be the server.
    Signer,
    /// Who signed it and for which host.
    Full,
}

/// Whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Those that this machine trusts.
    System,
    /// Those of this file and no others.
    File(String),
    /// Those of this file beside those that the machine trusts.
    SystemAnd(String),
}

/// What a way is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Nothing leaves this machine.
    Local,
    /// Encrypted, to the server that was meant.
    Verified,
    /// Somebody between can read it or be the server; why.
    Exposed(&'static str),
}

impl Way {
    /// The way of a client that knows two modes: TLS with signer and host name verified, or clear text.
    pub fn verified_or_clear(
        service: &'static str,
        host: &str,
        port: u16,
        tls: bool,
        authority: Authority,
    ) -> Self {
        let (encryption, check) =
            if tls { (Encryption::Always, Check::Full) } else { (Encryption::Never, Check::Nothing) };
        Self {
            service,
            host: host.to_owned(),
            port,
            local: is_this_machine(host),
            encryption,
            check,
            authority,
        }
    }

    /// What this way is worth: the one judgement behind the warning, `require_tls` and `backshift doctor`.
    pub fn safety(&self) -> Safety {
        match (self.local, self.encryption, self.check) {
            (true, ..) => Safety::Local,
            (_, Encryption::Never, _) => Safety::Exposed("it is not encrypted"),
            (_, Encryption::IfOffered, _) => Safety::Exposed(
                "it is encrypted only if the server offers that, so whoever stands between decides",
            ),
            (_, Encryption::Always, Check::Nothing) => {
                Safety::Exposed("the server's certificate is not checked, so anybody can be the server")
            }
            (_, Encryption::Always, Check::Signer) => Safety::Exposed(
                "the certificate's signer is checked and its host name is not, so another holder of such a certificate \
                 can be the server",
            ),
            (_, Encryption::Always, Check::Full) => Safety::Verified,
        }
    }

    /// `host:port`, or the path of a socket.
    pub fn place(&self) -> String {
        match &self.host {
            host if host.starts_with('/') => host.clone(),
            host if host.contains(':') => format!("[{host}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }
}

/// One line for people: where, encrypted or not, what is checked, by which authority.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = if self.local { " (this machine)" } else { "" };
        let encrypted = match self.encryption {
            Encryption::Never => "not encrypted",
            Encryption::IfOffered => "encrypted if the server offers it",
            Encryption::Always => "encrypted",
        };
        write!(f, "{}{machine}, {encrypted}", self.place())?;
        match (self.encryption, self.check) {
            (Encryption::Never, _) => Ok(()),
            (_, Check::Nothing) => f.write_str(", certificate not checked"),
            (_, Check::Signer) => write!(f, ", signer checked by {}, host name not checked", self.authority),
            (_, Check::Full) => write!(f, ", verified by {}", self.authority),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("the authorities of this machine"),
            Self::File(file) => f.write_str(file),
            Self::SystemAnd(file) => write!(f, "the authorities of this machine and {file}"),
        }
    }
}

/// What to do about a handshake of rustls that failed, read from its error text; `setting` is the setting that names the file
/// of authorities. `None` = neither TLS nor the certificate is to blame.
pub fn handshake_remedy(problem: &str, setting: &str) -> Option<String> {
    let certificate = problem.contains("invalid peer certificate");
    match problem {
        _ if problem.contains("corrupt message") => Some(
            "the server speaks no TLS on this port: check host, port and what is wanted of them".to_owned(),
        ),
        _ if !certificate => None,
        _ if problem.contains("not valid for") || problem.contains("NotValidForName") => {
            Some("the certificate is for another name: connect to the name that stands in it".to_owned())
        }
        _ if problem.contains("expired") || problem.contains("Expired") => {
            Some("the certificate has expired: renew it on the server".to_owned())
        }
        _ if problem.contains("not valid yet") || problem.contains("NotValidYet") => {
            Some("the certificate is not valid yet: is this machine's clock right?".to_owned())
        }
        _ => Some(format!("name the PEM file of the authority that signed the certificate as {setting}")),
    }
}

/// Whether this name or address is the machine itself: a loopback address, `localhost`, or a socket's path.
pub fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => {
            // Not `localhost.` nor `db.localhost`: the hosts file has neither, so most resolvers ask the network for them.
            host.eq_ignore_ascii_case("localhost") || host.starts_with('/')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(host: &str, encryption: Encryption, check: Check) -> Way {
        let local = is_this_machine(host);
        let authority = Authority::File("ca.pem".into());
        Way { service: "PostgreSQL", host: host.into(), port: 5432, local, encryption, check, authority }
    }

    #[test]
    fn only_a_certificate_for_this_host_makes_a_way_safe() {
        let safety = |encryption, check| way("db.example", encryption, check).safety();
        assert_eq!(safety(Encryption::Always, Check::Full), Safety::Verified);
        for (encryption, check) in [
            (Encryption::Always, Check::Signer),
            (Encryption::Always, Check::Nothing),
            (Encryption::IfOffered, Check::Full),
            (Encryption::IfOffered, Check::Nothing),
            (Encryption::Never, Check::Full),
        ] {
            assert!(matches!(safety(encryption, check), Safety::Exposed(_)), "{encryption:?} {check:?}");
        }
        assert_eq!(way("::1", Encryption::Never, Check::Nothing).safety(), Safety::Local);
    }

    #[test]
    fn this_machine_is_known_by_what_it_is() {
        for host in ["localhost", "LOCALHOST", "127.0.0.2", "::1", "[::1]", "::ffff:127.0.0.1", "/run/pg"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "localhost.evil.example",
            "localhost.",
            "LOCALHOST.",
            "localhost..",
            "[localhost]",
            "127.0.0.1.",
            "db.localhost",
            "10.0.0.1",
            "0.0.0.0",
            "::",
            "127.0.0.1.example",
            "",
            "2130706433",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn a_way_says_host_encryption_check_and_authority() {
        assert_eq!(
            way("db.example", Encryption::Always, Check::Full).to_string(),
            "db.example:5432, encrypted, verified by ca.pem"
        );
        assert_eq!(
            way("::1", Encryption::Never, Check::Nothing).to_string(),
            "[::1]:5432 (this machine), not encrypted"
        );
    }
}
