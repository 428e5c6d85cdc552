//! Which setting led to a server: what an error of that server begins with. And the brokers that are set and not worked.
//!
//! A variable that would be passed over in silence is worse than a refused one: somebody's jobs wait where nobody looks.

use super::{Place, foreign, place};
use crate::{
    config::{Config, Key, Origin, Text, keys},
    domains,
    exit::{Failure, Server},
    sources::{self, later},
};

/// Settings that say where jobs are; with one of them, or the URL of a source, nothing is guessed.
const SITES: [&Key<Text>; 3] = [&keys::BROKER_URL, &keys::DATABASE_URL, &keys::DATABASE_HOST];

/// The setting, its source and its value without the password.
pub(crate) fn server_of(config: &Config, server: Server) -> String {
    let is_foreign = matches!(place(config), Ok(Place::Foreign(..)));
    let beside = match server {
        Server::Of(broker) => sources::of_name(broker).map(|source| source.url),
        Server::Store => None,
    };
    let keys: &[&Key<Text>] = match (beside, is_foreign) {
        (Some(_), true) => &[&keys::BROKER_URL],
        (Some(url), false) => &[url],
        (None, true) => &[&keys::DATABASE_URL, &keys::DATABASE_HOST],
        (None, false) => &SITES,
    };
    match keys.iter().find(|key| config.some(key).is_some()) {
        Some(key) if key.name() == keys::DATABASE_HOST.name() => {
            let origin = config.origin(&keys::DATABASE_HOST);
            format!(
                "database.host ({origin}): {:?}, database.port {}, database.user {:?}, database.name {:?}",
                config.get(&keys::DATABASE_HOST),
                config.get(&keys::DATABASE_PORT),
                config.get(&keys::DATABASE_USER),
                config.get(&keys::DATABASE_NAME)
            )
        }
        Some(key) => config.told(key),
        None => format!("{} (the embedded file in it)", config.told(&keys::DATA_DIR)),
    }
}

impl Failure {
    /// The same with the setting, its value and its source before it, when it is the answer of a server.
    pub(crate) fn placed(mut self, config: &Config) -> Self {
        let Some(server) = self.server.take() else { return self };
        let remedy = match self.is_unreachable() {
            true => {
                "; is the server running, and is this the right address? `backshift doctor` tries every server"
            }
            false => "",
        };
        let place = server_of(config, server);
        self.reworded(|text| format!("{place}: {text}{remedy}"))
    }
}

/// What is set of brokers that this version does not work, one text each.
pub(crate) fn unsupported(config: &Config) -> Vec<String> {
    let set = later::BROKERS.iter().filter(|(key, _)| *config.origin(key) != Origin::Default);
    set.map(|(key, name)| format!("{}: {name} is not supported by this version", config.told(key))).collect()
}

/// Refuses to work the embedded file where somebody has set another broker and nothing else.
pub(crate) fn refuse_unsupported(config: &Config) -> Result<(), Failure> {
    let causes = unsupported(config);
    let mut sites = SITES.into_iter().chain(sources::ALL.iter().map(|source| source.url));
    if causes.is_empty() || sites.any(|key| *config.origin(key) != Origin::Default) {
        return Ok(());
    }
    let remedy = format!(
        "say where the jobs are: BACKSHIFT_BROKER_URL={} (or --broker), or unset it",
        sources::written()
    );
    let causes: Vec<_> =
        causes.iter().map(|cause| format!("{cause}, and no other place is set; {remedy}")).collect();
    Err(Failure::configuration(causes.join("\n")))
}

/// Settings that contradict each other, and those that a configured broker cannot keep.
pub(crate) fn contradictions(config: &Config) -> Vec<String> {
    let mut found = config.contradictions();
    found.extend(domains::contradictions(config));
    for (source, _) in foreign(config) {
        let Some(waits) = &source.waits else { continue };
        if config.get(&keys::WORKER_HAND_OVER_AFTER) >= waits.usually {
            found.push(format!(
                "{} is not below {}'s {} ({}m unless it was changed): long jobs are handed out again; write 10m",
                config.told(&keys::WORKER_HAND_OVER_AFTER),
                source.title,
                waits.called,
                waits.usually.as_secs() / 60
            ));
        }
    }
    found
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
        assert_eq!(
            of(&[store, rabbit], Server::Of("rabbitmq")),
            "broker.url (flag --flag): \"amqp://u:***@q\""
        );
        assert!(of(&[store, rabbit], Server::Store).starts_with("database.url"));
        assert!(of(&[("broker.url", "postgres://h/d")], Server::Store).starts_with("broker.url"));
        assert!(of(&[("rabbitmq.url", "amqp://q")], Server::Of("rabbitmq")).starts_with("rabbitmq.url"));
        assert!(of(&[("database.host", "db")], Server::Store).contains("database.port 5432"));
        assert!(of(&[], Server::Store).starts_with("data_dir (default)"));
    }

    #[test]
    fn a_contradiction_of_a_domain_is_told_with_key_value_and_source() {
        let found = |flags: &[(&'static str, &str)]| contradictions(&Config::of_flags(flags));
        assert_eq!(found(&[]), Vec::<String>::new());
        for (key, value, more) in [
            ("retention.otp", "0s", None),
            ("mail.retry_base", "61m", None),
            ("otp.resend_cooldown", "11m", None),
            ("otp.max_per_hour", "21", None),
            ("otp.max_tries", "21", None),
            ("auth.max_failures_pair", "1001", None),
            ("mail.pause", "11m", None),
            ("shutdown.grace", "0s", Some(("smtp.host", "h"))),
        ] {
            let flags: Vec<_> = [Some((key, value)), more].into_iter().flatten().collect();
            let causes = found(&flags);
            assert_eq!(causes.len(), 1, "{key}: {causes:?}");
            assert!(causes[0].contains(&format!("{key} (flag --flag): {value:?}")), "{causes:?}");
        }
    }

    #[test]
    fn a_hand_over_that_comes_too_late_for_the_broker_is_a_contradiction() {
        let of = |flags: &[(&'static str, &str)]| contradictions(&Config::of_flags(flags));
        let late = ("worker.hand_over_after", "30m");
        for broker in [("rabbitmq.url", "amqp://h"), ("broker.url", "amqps://h")] {
            let found = of(&[late, broker]);
            assert!(
                found.len() == 1 && found[0].contains("worker.hand_over_after (flag --flag): \"30m\""),
                "{found:?}"
            );
            assert!(of(&[broker]).is_empty());
        }
        assert!(of(&[late]).is_empty(), "the ledger takes no job back");
    }
}
