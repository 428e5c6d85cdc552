//! Which setting led to a server: what an error of that server begins with. And the brokers that are set and not worked.
//!
//! A variable that would be passed over in silence is worse than a refused one: somebody's jobs wait where nobody looks.

use super::{Place, places};
use crate::{
    config::{Config, Origin},
    exit::{Failure, Server},
};

/// Brokers that this version reads settings of and does not work.
const LATER: [(&str, &str); 3] =
    [("nats.url", "NATS JetStream"), ("redis.url", "Redis"), ("kafka.brokers", "Kafka")];
/// Settings that say where jobs are; with one of them nothing is guessed.
const SITES: [&str; 4] = ["broker.url", "database.url", "database.host", "rabbitmq.url"];

/// The setting, its source and its value without the password.
pub(crate) fn server_of(config: &Config, server: Server) -> String {
    let foreign = matches!(places(config, false).map(|places| places.broker), Ok(Place::RabbitMq(_)));
    let set = |key: &&&str| config.some(key).is_some();
    let keys: &[&str] = match (server, foreign) {
        (Server::RabbitMq, true) => &["broker.url"],
        (Server::RabbitMq, false) => &["rabbitmq.url"],
        (Server::Store, true) => &["database.url", "database.host"],
        (Server::Store, false) => &["broker.url", "database.url", "database.host"],
    };
    match keys.iter().find(set) {
        Some(&"database.host") => {
            let origin = config.origin("database.host");
            format!(
                "database.host ({origin}): {:?}, database.port {}, database.user {:?}, database.name {:?}",
                config.text("database.host"),
                config.text("database.port"),
                config.text("database.user"),
                config.text("database.name")
            )
        }
        Some(key) => config.told(key),
        None => format!("{} (the embedded file in it)", config.told("data_dir")),
    }
}

/// What is set of brokers that this version does not work, one text each.
pub(crate) fn unsupported(config: &Config) -> Vec<String> {
    let set = LATER.iter().filter(|(key, _)| *config.origin(key) != Origin::Default);
    set.map(|(key, name)| format!("{}: {name} is not supported by this version", config.told(key))).collect()
}

/// Refuses to work the embedded file where somebody has set another broker and nothing else.
pub(crate) fn refuse_unsupported(config: &Config) -> Result<(), Failure> {
    let causes = unsupported(config);
    if causes.is_empty() || SITES.iter().any(|key| *config.origin(key) != Origin::Default) {
        return Ok(());
    }
    let remedy = "say where the jobs are: BACKSHIFT_BROKER_URL=postgres:…, amqp:… or embedded:PATH (or --broker), or unset it";
    let causes: Vec<_> =
        causes.iter().map(|cause| format!("{cause}, and no other place is set; {remedy}")).collect();
    Err(Failure::configuration(causes.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_of_a_later_version_is_refused_alone_and_told_beside_another() {
        for (key, value) in
            [("nats.url", "nats://h:4222"), ("redis.url", "redis://h"), ("kafka.brokers", "h:9092")]
        {
            let text = refuse_unsupported(&Config::of_flags(&[(key, value)])).unwrap_err().to_string();
            for word in [key, "--flag", value, "not supported", "BACKSHIFT_BROKER_URL"] {
                assert!(text.contains(word), "{word} in {text}");
            }
            for site in [
                ("database.url", "sqlite:a.db"),
                ("broker.url", "embedded:a.db"),
                ("rabbitmq.url", "amqp://h"),
            ] {
                let both = Config::of_flags(&[(key, value), site]);
                assert!(refuse_unsupported(&both).is_ok() && unsupported(&both).len() == 1, "{site:?}");
            }
        }
        assert!(refuse_unsupported(&Config::defaults()).is_ok());
    }

    #[test]
    fn the_setting_that_led_to_a_server_is_named_without_its_password() {
        let of = |flags: &[(&'static str, &str)], server| server_of(&Config::of_flags(flags), server);
        let (store, rabbit) =
            (("database.url", "postgres://u:geheim@h/d"), ("broker.url", "amqp://u:geheim@q"));
        assert_eq!(of(&[store], Server::Store), "database.url (flag --flag): \"postgres://u:***@h/d\"");
        assert_eq!(of(&[store, rabbit], Server::RabbitMq), "broker.url (flag --flag): \"amqp://u:***@q\"");
        assert!(of(&[store, rabbit], Server::Store).starts_with("database.url"));
        assert!(of(&[("broker.url", "postgres://h/d")], Server::Store).starts_with("broker.url"));
        assert!(of(&[("rabbitmq.url", "amqp://q")], Server::RabbitMq).starts_with("rabbitmq.url"));
        assert!(of(&[("database.host", "db")], Server::Store).contains("database.port 5432"));
        assert!(of(&[], Server::Store).starts_with("data_dir (default)"));
    }
}
