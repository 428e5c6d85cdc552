//! Where and how to deliver: server, TLS, credentials, time-outs, pool.
//!
//! The defaults are the contract's; `SmtpOptions::new` picks the TLS mode from host and port.

use std::time::Duration;

use backshift_core::way::{Authority, Way, is_this_machine};
use secrecy::SecretString;

/// How the connection is protected. There is no "if offered": that falls back to clear text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Clear text.
    None,
    /// STARTTLS, required.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

impl TlsMode {
    /// Implicit on 465, none on loopback, else STARTTLS.
    pub fn default_for(host: &str, port: u16) -> Self {
        match port {
            465 => Self::Implicit,
            _ if is_this_machine(host) => Self::None,
            _ => Self::StartTls,
        }
    }
}

impl std::str::FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "starttls" => Ok(Self::StartTls),
            "implicit" => Ok(Self::Implicit),
            _ => Err(format!("{text:?} is no TLS mode; use none, starttls or implicit")),
        }
    }
}

/// User name and password for AUTH.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password; never shown.
    pub password: SecretString,
}

/// Everything about one SMTP server.
#[derive(Debug, Clone)]
pub struct SmtpOptions {
    /// Host name or address; the certificate must be for it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub tls: TlsMode,
    /// PEM certificates to trust instead of the system's (`BACKSHIFT_SMTP_CA_FILE`).
    pub ca_pem: Option<Vec<u8>>,
    /// AUTH PLAIN or LOGIN, when set.
    pub credentials: Option<Credentials>,
    /// Name in EHLO; the local address as a literal when absent.
    pub hello_name: Option<String>,
    /// For name lookup and TCP. Default 10 s.
    pub connect_timeout: Duration,
    /// For each command and each chunk of the body. Default 60 s.
    pub command_timeout: Duration,
    /// For the answer to the final dot. Default 10 min (RFC 5321 §4.5.3.2.6): giving up early only makes doubt.
    pub final_timeout: Duration,
    /// Most connections at once. Default 10.
    pub max_connections: usize,
    /// Mails before a connection is replaced. Default 100.
    pub max_messages: u32,
    /// How long an unused connection is kept. Default 30 s.
    pub idle_timeout: Duration,
}

impl SmtpOptions {
    /// The contract's defaults for this server.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self {
            tls: TlsMode::default_for(&host, port),
            host,
            port,
            ca_pem: None,
            credentials: None,
            hello_name: None,
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(60),
            final_timeout: Duration::from_secs(600),
            max_connections: 10,
            max_messages: 100,
            idle_timeout: Duration::from_secs(30),
        }
    }

    /// What is done on the way to the server. Where there is TLS, signer and host name are always verified.
    pub fn way(&self) -> Way {
        let authority = match &self.ca_pem {
            Some(_) => Authority::File("smtp.ca_file".into()),
            None => Authority::System,
        };
        Way::verified_or_clear("SMTP", &self.host, self.port, self.tls != TlsMode::None, authority)
    }
}

/// Why no transport can be made of the options: a configuration error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The host is neither a host name nor an address.
    #[error("SMTP host {0:?} is neither a host name nor an IP address")]
    Host(String),
    /// The CA file holds no usable certificate.
    #[error("the SMTP CA file has no usable PEM certificate: {0}")]
    CaFile(String),
    /// TLS wanted, no roots found.
    #[error(
        "no trusted certificates found on this machine; install ca-certificates or set BACKSHIFT_SMTP_CA_FILE"
    )]
    NoRoots,
    /// AUTH hands the password over as it is, so that it needs TLS, or a server on this machine.
    #[error(
        "the password for {0} would cross the network in clear: set BACKSHIFT_SMTP_TLS to starttls or implicit, or take \
         user name and password away"
    )]
    ClearPassword(String),
    /// A number that makes no sense.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A name for EHLO that could break the command.
    #[error("the EHLO name {0:?} is not a host name")]
    HelloName(String),
}

#[cfg(test)]
mod tests {
    use super::{SmtpOptions, TlsMode};

    #[test]
    fn tls_defaults() {
        for (host, port, mode) in [
            ("smtp.gmail.com", 587, TlsMode::StartTls),
            ("smtp.gmail.com", 25, TlsMode::StartTls),
            ("smtp.gmail.com", 465, TlsMode::Implicit),
            ("localhost", 465, TlsMode::Implicit),
            ("localhost", 1025, TlsMode::None),
            ("127.0.0.2", 587, TlsMode::None),
            ("[::1]", 25, TlsMode::None),
            ("10.0.0.1", 25, TlsMode::StartTls),
            ("localhost.evil.io", 25, TlsMode::StartTls),
            ("mail.localhost", 25, TlsMode::StartTls),
            ("LOCALHOST", 25, TlsMode::None),
            ("localhost.", 25, TlsMode::StartTls),
            ("LOCALHOST.", 1025, TlsMode::StartTls),
        ] {
            assert_eq!(SmtpOptions::new(host, port).tls, mode, "{host}:{port}");
        }
        assert_eq!("STARTTLS".parse(), Ok(TlsMode::StartTls));
        assert!("opportunistic".parse::<TlsMode>().is_err());
    }

    #[test]
    fn debug_hides_the_password() {
        let mut options = SmtpOptions::new("smtp.example.org", 587);
        options.credentials =
            Some(super::Credentials { username: "u".into(), password: "hunter2".to_owned().into() });
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
