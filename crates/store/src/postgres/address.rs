//! Reads a PostgreSQL URL: where it leads, how the way there is protected, in which schema the tables are.
//!
//! To another host a certificate for that host is the default; less is done only when the URL says so. No error of this
//! file repeats the URL: it holds the password.

use std::{path::PathBuf, time::Duration};

use backshift_core::{
    StoreError,
    way::{Authority, Way},
};
use tokio_postgres::{
    Config,
    config::{SslMode, SslNegotiation},
};

use super::{
    connector::Negotiation,
    parameters::Parameters,
    schema::SearchPath,
    ways::{Target, targets, ways},
};
use crate::Options;

/// A URL, understood.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) verify: Verify,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) negotiation: Negotiation,
    /// What is done on the way to each host.
    pub(super) ways: Vec<Way>,
    pub(super) search_path: Option<SearchPath>,
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

impl Address {
    pub(super) fn parse(url: &str, options: &Options) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if query.contains('@') && !base.contains('@') {
            return Err(StoreError::Rejected(
                "the database URL has a ? before its @: percent-encode the special characters of the password".into(),
            ));
        }
        let parameters = Parameters::read(query)?;
        let kept = &parameters.kept;
        let clean = if kept.is_empty() { base.to_owned() } else { format!("{base}?{kept}") };
        let mut config: Config = clean.parse().map_err(|problem| invalid(&problem))?;
        let root_certificate = parameters.root_certificate.clone().or_else(|| options.ca_file.clone());
        let targets = targets(&config);
        let (ssl, verify) = ssl_mode(&parameters, root_certificate.is_some(), &targets)?;
        let authority =
            root_certificate.as_ref().map_or(Authority::System, |f| Authority::File(f.display().to_string()));
        let ways = ways(&targets, ssl, verify, &authority);
        let negotiation = negotiation(&mut config, ssl, &targets)?;
        add_defaults(&mut config, options);
        let search_path = search_path(parameters.search_path, options)?;
        Ok(Self { config, verify, root_certificate, negotiation, ways, search_path })
    }
}

/// The URL's path and `database.schema` must agree.
fn search_path(written: Option<SearchPath>, options: &Options) -> Result<Option<SearchPath>, StoreError> {
    let set = options.schema.as_deref().map(SearchPath::of).transpose()?;
    match (written, set) {
        (Some(written), Some(set)) if written != set => Err(StoreError::Rejected(
            "the database URL and database.schema name different schemas; keep one".into(),
        )),
        (written, set) => Ok(set.or(written)),
    }
}

/// Whoever talks about TLS with the server: tokio-postgres where a socket's path is among the hosts (it has no TLS),
/// else our own connector, which also sees what the server asks for.
fn negotiation(config: &mut Config, ssl: SslMode, targets: &[Target]) -> Result<Negotiation, StoreError> {
    if targets.iter().any(|target| target.socket) {
        if targets.iter().any(|target| !target.local) {
            return Err(StoreError::Rejected(
                "the database URL names a socket's path and another machine; a socket has no TLS, so name one of them"
                    .into(),
            ));
        }
        config.ssl_mode(ssl);
        return Ok(Negotiation::OfTheClient);
    }
    let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
    if config.get_hosts().is_empty() {
        // The name that a certificate is checked for.
        let addresses: Vec<String> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
        for address in &addresses {
            config.host(address);
        }
    }
    config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    match (ssl, direct) {
        (SslMode::Require, true) => Ok(Negotiation::Direct),
        (_, true) => Err(StoreError::Rejected(
            "sslnegotiation=direct in the database URL needs sslmode=require, verify-ca or verify-full"
                .into(),
        )),
        (SslMode::Disable, false) => Ok(Negotiation::Clear),
        (SslMode::Require, false) => Ok(Negotiation::Ask { needed: true }),
        (_, false) => Ok(Negotiation::Ask { needed: false }),
    }
}

fn invalid(problem: &tokio_postgres::Error) -> StoreError {
    let cause = std::error::Error::source(problem).map_or_else(|| problem.to_string(), ToString::to_string);
    StoreError::Rejected(format!(
        "the database URL is not valid ({cause}); expected postgres://user:password@host:5432/database, with special \
         characters of the password percent-encoded"
    ))
}

/// What is written; else `verify-full` as soon as one host is another machine.
fn ssl_mode(
    parameters: &Parameters,
    has_root: bool,
    targets: &[Target],
) -> Result<(SslMode, Verify), StoreError> {
    let Some(mode) = parameters.mode.as_deref() else {
        let abroad = targets.iter().any(|target| !target.local);
        return Ok(match abroad || parameters.system_roots || parameters.root_certificate.is_some() {
            true => (SslMode::Require, Verify::Full),
            false => (SslMode::Prefer, Verify::Nothing),
        });
    };
    if parameters.system_roots && mode != "verify-full" {
        // As libpq: anybody has a certificate of a public authority.
        return Err(StoreError::Rejected(
            "sslrootcert=system in the database URL needs sslmode=verify-full".into(),
        ));
    }
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
                other.chars().take(40).filter(|c| !c.is_control()).collect::<String>()
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
        use backshift_core::way::{Check::*, Encryption::*};
        for (mode, encryption, check) in [
            ("", Always, Full),
            ("?sslmode=disable", Never, Nothing),
            ("?sslmode=prefer", IfOffered, Nothing),
            ("?sslmode=require", Always, Nothing),
            ("?sslmode=require&sslrootcert=%2Fca.pem", Always, Signer),
            ("?sslmode=verify-ca", Always, Signer),
            ("?sslmode=verify-full", Always, Full),
            ("?sslrootcert=system", Always, Full),
        ] {
            let ways = parse(&format!("postgres://u@h/d{mode}")).unwrap().ways;
            assert_eq!((ways[0].encryption, ways[0].check), (encryption, check), "{mode}");
        }
        assert!(parse("postgres://u@h/d?sslmode=require&sslrootcert=system").is_err());
        assert!(parse("postgres://u@h/d?sslmode=prefer&sslnegotiation=direct").is_err());
    }

    #[test]
    fn the_way_is_what_the_client_does_and_not_what_the_text_says() {
        use backshift_core::way::Safety;
        let exposed = |url: &str| {
            let ways = parse(url).unwrap().ways;
            assert!(!ways.is_empty(), "{url}");
            ways.iter().any(|way| matches!(way.safety(), Safety::Exposed(_)))
        };
        for url in [
            "postgres://u@localhost/d?hostaddr=192.0.2.1&sslmode=prefer",
            "postgres:///d?hostaddr=192.0.2.1&sslmode=require",
            "postgres://u@localhost/d?host=db.example&sslmode=require",
            "postgres://localhost,db.example/d?sslmode=disable",
            "postgres:///d?host=db.example&sslmode=disable",
            "postgres://u@127.0.0.1,[2001:db8::1]/d?sslmode=verify-ca",
            "postgres://u@localhost./d?sslmode=disable",
            "postgres://u@LOCALHOST%2e/d?sslmode=require",
            "postgres://u@localhost,localhost./d?sslmode=disable",
        ] {
            assert!(exposed(url), "{url}");
        }
        for url in [
            "postgres://u@localhost/d",
            "postgres://u@db.example/d",
            "postgres://u@localhost/d?host=db.example",
            "postgres:///d?hostaddr=192.0.2.1",
            "postgres://db.example/d?hostaddr=127.0.0.1&sslmode=disable",
            "postgres://u@%2Frun%2Fpostgresql/d?sslmode=disable",
            "postgres:///d?host=%2Frun%2Fpostgresql",
        ] {
            assert!(!exposed(url), "{url}");
        }
        assert!(parse("postgres://u@db.example/d?sslmode=verify-full&sslmode=disable").is_err());
        assert!(parse("postgres://u@%2Frun%2Fpg/d?host=db.example&sslmode=prefer").is_err());
    }

    #[test]
    fn foreign_hints_are_left_out_and_known_parameters_kept() {
        let url = "postgres://u@h/d?pgbouncer=true&connect_timeout=9&schema=x&application_name=a%20b%2Bc";
        let address = parse(url).unwrap();
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(address.config.get_application_name(), Some("a b+c"));
        assert_eq!(address.search_path.unwrap().sql(), "\"x\"");
        let options = Options { schema: Some("y".into()), ..Options::default() };
        assert!(Address::parse(url, &options).is_err());
        assert!(Address::parse("postgres://u@h/d?schema=y", &options).is_ok());
    }

    #[test]
    fn no_error_repeats_the_password() {
        for url in [
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=no",
            "postgres://u:hunter2@h/d?connect_timeout=soon",
            "postgres://u:hunter2@[::1/d",
            "postgres://u:hunter2%zz@h/d",
            "postgres://u:x?hunter2@h/d",
            "postgres://u:x?hunter2=1@h/d",
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
