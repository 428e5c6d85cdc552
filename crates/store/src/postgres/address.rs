//! Reads a PostgreSQL URL, also what tokio-postgres refuses: `verify-full`, `sslrootcert`, unknown parameters.
//!
//! No error of this file repeats the URL: it holds the password.

use std::{path::PathBuf, time::Duration};

use backshift_core::StoreError;
use tokio_postgres::{Config, config::SslMode};
use url::form_urlencoded;

use crate::Options;

/// A URL, understood.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) verify: Verify,
    pub(super) root_certificate: Option<PathBuf>,
}

/// How much of the server's certificate is checked (libpq's words).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Encryption only.
    Nothing,
    /// Who signed it.
    Authority,
    /// Who signed it and for which host.
    Full,
}

/// What tokio-postgres itself understands.
const KNOWN: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

impl Address {
    pub(super) fn parse(url: &str, options: &Options) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut kept = form_urlencoded::Serializer::new(String::new());
        let mut mode = "prefer".to_owned();
        let mut root_certificate = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match key.as_ref() {
                "sslmode" => mode = value.into_owned(),
                "sslrootcert" if value != "system" => root_certificate = Some(PathBuf::from(value.as_ref())),
                key if KNOWN.contains(&key) => drop(kept.append_pair(key, &value)),
                // Other tools' hints, such as pgbouncer=true: what they say is found out by asking the server.
                key => tracing::debug!(parameter = key, "a parameter of the database URL is not used"),
            }
        }
        // '+' is a space in a form and a plus sign in a URL as tokio-postgres reads it.
        let query = kept.finish().replace('+', "%20");
        let clean = if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") };
        let mut config: Config = clean.parse().map_err(|problem| invalid(&problem))?;
        let (ssl, verify) = ssl_mode(&mode, root_certificate.is_some())?;
        config.ssl_mode(ssl);
        add_defaults(&mut config, options);
        Ok(Self { config, verify, root_certificate })
    }
}

fn invalid(problem: &tokio_postgres::Error) -> StoreError {
    let cause = std::error::Error::source(problem).map_or_else(|| problem.to_string(), ToString::to_string);
    StoreError::Rejected(format!(
        "the database URL is not valid ({cause}); expected postgres://user:password@host:5432/database, with special \
         characters of the password percent-encoded"
    ))
}

fn ssl_mode(mode: &str, has_root: bool) -> Result<(SslMode, Verify), StoreError> {
    Ok(match mode {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
        // libpq: with a root certificate at hand, `require` checks it.
        "require" if has_root => (SslMode::Require, Verify::Authority),
        "require" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Authority),
        "verify-full" => (SslMode::Require, Verify::Full),
        other => {
            return Err(StoreError::Rejected(format!(
                "sslmode={} in the database URL is not known; use disable, prefer, require, verify-ca or verify-full",
                other.chars().take(40).collect::<String>()
            )));
        }
    })
}

fn add_defaults(config: &mut Config, options: &Options) {
    if config.get_application_name().is_none() {
        config.application_name(&options.application_name);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    config.keepalives_idle(Duration::from_secs(10));
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(5));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(25));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, StoreError> {
        Address::parse(url, &Options::default())
    }

    #[test]
    fn every_ssl_mode_of_libpq_is_understood() {
        for (mode, ssl, verify) in [
            ("disable", SslMode::Disable, Verify::Nothing),
            ("prefer", SslMode::Prefer, Verify::Nothing),
            ("require", SslMode::Require, Verify::Nothing),
            ("require&sslrootcert=%2Fca.pem", SslMode::Require, Verify::Authority),
            ("verify-ca", SslMode::Require, Verify::Authority),
            ("verify-full", SslMode::Require, Verify::Full),
        ] {
            let address = parse(&format!("postgres://u@h/d?sslmode={mode}")).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.verify), (ssl, verify), "{mode}");
        }
    }

    #[test]
    fn foreign_parameters_are_left_out_and_known_ones_kept() {
        let url = "postgres://u@h/d?pgbouncer=true&connect_timeout=9&schema=x&application_name=a%20b%2Bc";
        let config = parse(url).unwrap().config;
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_application_name(), Some("a b+c"));
    }

    #[test]
    fn no_error_repeats_the_password() {
        for url in [
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=no",
            "postgres://u:hunter2@h/d?connect_timeout=soon",
            "postgres://u:hunter2@[::1/d",
            "postgres://u:hunter2%zz@h/d",
        ] {
            if let Err(error) = parse(url) {
                assert!(!error.to_string().contains("hunter2"), "{error}");
                assert!(matches!(error, StoreError::Rejected(_)));
            }
        }
        assert!(parse("postgres://u:hunter2@h/d?sslmode=no").is_err());
        assert!(parse("postgres://u:hunter2@h/d?connect_timeout=soon").is_err());
    }
}
