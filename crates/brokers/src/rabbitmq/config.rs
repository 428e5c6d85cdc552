//! Where the server is and how to use it. The password never leaves [`SecretString`]: no `Display`, masked `Debug`.
//!
//! The virtual host is what follows the first `/` of the path, as in the Go client of system C: `amqp://h//prod` names
//! `/prod`, an empty path `/`. lapin's own reading differs, and a URL parser would take `..` away.

use std::time::Duration;

use backshift_core::{
    BrokerError,
    way::{Authority, Way},
};
use lapin::{
    tcp::OwnedTLSConfig,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::error::rejected;

/// RabbitMQ's default. lapin's two buffers hold 32 such frames each; when the size is known before it connects, they are
/// memory that was asked for and never touched, else 8 MiB a connection are written at once.
const FRAME_MAX: u32 = 128 * 1024;

/// Which type the queues of our own get; foreign bindings are always declared as their peers declare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated, fsynced before the confirm; needs RabbitMQ 3.8, its time to live 3.10.
    #[default]
    Quorum,
    /// One node, durable.
    Classic,
    /// Whatever the queue is that exists; one that does not is made as quorum.
    Existing,
}

/// What can be configured beside the URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Type of the queues of our own.
    pub queue_type: QueueType,
    /// Deliveries in flight for one consumer, 1 to 2000; `None` = what the pool asks for.
    pub prefetch: Option<u16>,
    /// Seconds between heartbeats; a frozen peer is gone after about three. Below 5 RabbitMQ warns of false alarms.
    pub heartbeat_seconds: u16,
    /// PEM certificates to trust for `amqps` beside the system's.
    pub ca_pem: Option<String>,
    /// The name shown in RabbitMQ's management.
    pub connection_name: String,
    /// How long a connection, a channel or a declaration may take.
    #[serde(skip)]
    pub connect_timeout: Duration,
    /// How long a publish waits for its confirm before its outcome is unknown.
    #[serde(skip)]
    pub confirm_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue_type: QueueType::default(),
            prefetch: None,
            heartbeat_seconds: 5,
            ca_pem: None,
            connection_name: "backshift".into(),
            connect_timeout: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(10),
        }
    }
}

/// A server and how to use it.
#[derive(Debug, Clone)]
pub struct Config {
    host: String,
    port: u16,
    tls: bool,
    vhost: String,
    user: String,
    password: SecretString,
    /// What can be configured beside the URL.
    pub options: Options,
}

impl Config {
    /// Reads `amqp[s]://user:password@host:port/vhost?heartbeat=5&connection_timeout=10000`.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] names what is wrong and never repeats the URL.
    pub fn from_url(url: &str, mut options: Options) -> Result<Self, BrokerError> {
        let vhost = vhost(url)?;
        let url = Url::parse(url).map_err(|error| rejected(format!("RABBITMQ_URL is no URL: {error}")))?;
        let tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            other => {
                return Err(rejected(format!("the URL begins with {other}://, use amqp:// or amqps://")));
            }
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(rejected("the URL names no host: amqp://user:password@host:5672/vhost"));
        };
        read_query(&url, &mut options)?;
        if options.prefetch.is_some_and(|n| !(1..=2000).contains(&n)) {
            return Err(rejected("prefetch must be 1 to 2000 (quorum queues allow no more)"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let user = decode(url.username())?;
        Ok(Self {
            host,
            port: url.port().unwrap_or(if tls { 5671 } else { 5672 }),
            tls,
            vhost,
            user: if user.is_empty() { "guest".into() } else { user },
            password: decode(url.password().unwrap_or("guest"))?.into(),
            options,
        })
    }

    /// What is done on the way to the server: `amqps` verifies signer and host name, `amqp` is clear text.
    pub fn way(&self) -> Way {
        let authority = match &self.options.ca_pem {
            Some(_) => Authority::SystemAnd("rabbitmq.ca_file".into()),
            None => Authority::System,
        };
        Way::verified_or_clear("RabbitMQ", &self.host, self.port, self.tls, authority)
    }

    /// Host, port and virtual host, for logs and errors: no credentials.
    pub fn address(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{} vhost {}", self.port, self.vhost)
    }

    pub(super) fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.expose_secret().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(self.options.heartbeat_seconds),
                frame_max: Some(FRAME_MAX),
                ..AMQPQueryString::default()
            },
        }
    }

    pub(super) fn tls_config(&self) -> OwnedTLSConfig {
        OwnedTLSConfig { identity: None, cert_chain: self.options.ca_pem.clone() }
    }
}

/// What the first slash after the host separates from it. Only that one is not a part of the name.
fn vhost(url: &str) -> Result<String, BrokerError> {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    let before_query = after_scheme.split(['?', '#']).next().unwrap_or_default();
    let name = decode(before_query.split_once('/').map_or("", |(_, path)| path))?;
    Ok(if name.is_empty() { "/".into() } else { name })
}

fn read_query(url: &Url, options: &mut Options) -> Result<(), BrokerError> {
    for (key, value) in url.query_pairs() {
        let number = || {
            let problem = || rejected(format!("the URL's parameter {key} must be a whole number"));
            value.parse::<u32>().map_err(|_| problem())
        };
        match key.as_ref() {
            "heartbeat" => {
                let seconds = number()?;
                options.heartbeat_seconds = u16::try_from(seconds)
                    .map_err(|_| rejected("the URL's heartbeat is in seconds, at most 65535"))?;
            }
            "connection_timeout" => {
                options.connect_timeout = Duration::from_millis(u64::from(number()?).max(1));
            }
            other => {
                return Err(rejected(format!(
                    "the URL's parameter {other} is not known: heartbeat (seconds) and connection_timeout \
                     (milliseconds) are"
                )));
            }
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, BrokerError> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| rejected("the URL has %-escapes that are no UTF-8"))?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        Config::from_url(url, Options::default()).unwrap()
    }

    #[test]
    fn reads_every_part_and_shows_no_password() {
        let config = config("amqps://us%40er:p%2Fw@[::1]:7000/a%2fb?heartbeat=9&connection_timeout=250");
        let uri = config.uri();
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("::1", 7000));
        assert_eq!((uri.vhost.as_str(), uri.query.heartbeat), ("a/b", Some(9)));
        assert_eq!(uri.authority.userinfo.username, "us@er");
        assert_eq!(uri.authority.userinfo.password, "p/w");
        assert_eq!(config.options.connect_timeout, Duration::from_millis(250));
        assert!(!format!("{config:?} {}", config.address()).contains("p/w"));
    }

    #[test]
    fn defaults_are_those_of_the_go_client() {
        for url in ["amqp://h", "amqp://h/", "amqp://h/%2f"] {
            let uri = config(url).uri();
            assert_eq!((uri.vhost.as_str(), uri.authority.port), ("/", 5672), "{url}");
            assert_eq!(uri.authority.userinfo.username, "guest");
        }
    }

    /// As `amqp091-go` 1.10 reads them (`ParseURI`): its own test cases, and what it does with more slashes.
    #[test]
    fn the_virtual_host_is_everything_behind_the_first_slash() {
        for (path, vhost) in [
            ("", "/"),
            ("/", "/"),
            ("/?heartbeat=5", "/"),
            ("?heartbeat=5", "/"),
            ("//", "/"),
            ("/%2f", "/"),
            ("/prod", "prod"),
            ("//prod", "/prod"),
            ("/%2Fprod", "/prod"),
            ("/%2fprod?heartbeat=5", "/prod"),
            ("///prod", "//prod"),
            ("/prod/", "prod/"),
            ("/a/b", "a/b"),
            ("/a%2Fb//", "a/b//"),
            ("/a/../b", "a/../b"),
            ("/a%20b#c", "a b"),
        ] {
            let config = config(&format!("amqp://u:p@h:1234{path}"));
            assert_eq!(
                (config.uri().vhost.as_str(), config.address()),
                (vhost, format!("h:1234 vhost {vhost}"))
            );
        }
        assert!(Config::from_url("amqp://h/%ff", Options::default()).is_err());
    }

    #[test]
    fn clear_text_is_a_risk_only_beyond_this_machine() {
        use backshift_core::way::Safety;
        for (url, safety) in [
            ("amqp://localhost", Safety::Local),
            ("amqp://127.0.0.1", Safety::Local),
            ("amqp://[::1]", Safety::Local),
            ("amqps://broker.example", Safety::Verified),
            ("amqp://u:geheim@broker.example", Safety::Exposed("it is not encrypted")),
            ("amqp://localhost.evil.example", Safety::Exposed("it is not encrypted")),
            ("amqp://mq.localhost", Safety::Exposed("it is not encrypted")),
            ("amqp://localhost.", Safety::Exposed("it is not encrypted")),
            ("amqp://LOCALHOST%2e", Safety::Exposed("it is not encrypted")),
        ] {
            let way = config(url).way();
            assert_eq!(way.safety(), safety, "{url}");
            assert!(!format!("{way} {way:?}").contains("geheim"));
        }
    }

    #[test]
    fn wrong_urls_are_named_without_repeating_them() {
        for (url, word) in [
            ("http://u:geheim@h", "amqp://"),
            ("geheim", "no URL"),
            ("amqp://h?heartbeet=5&x=geheim", "heartbeet"),
            ("amqp://h?heartbeat=geheim", "heartbeat"),
        ] {
            let error = Config::from_url(url, Options::default()).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("geheim"), "{error}");
        }
    }
}
