//! Which broker and which store the configuration means.
//!
//! The queue of an SQL broker is the ledger of its database, so there the broker's URL is the store's URL too.

use url::Url;

use crate::{
    config::{Config, Origin, Setting, keys, without_password},
    exit::Failure,
    sources::{self, Source, ledger},
};

/// Where jobs come from and where they are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// What moves envelopes.
    pub(crate) broker: Place,
    /// The store's URL; `None` = no store.
    pub(crate) store: Option<String>,
}

/// A broker by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The store's own ledger.
    Ledger,
    /// A server of its own, by the name of its source, at this URL.
    Foreign(&'static str, String),
}

/// What `broker.url` means, whatever the store is.
pub(crate) fn place(config: &Config) -> Result<Place, Failure> {
    let broker = config.get(&keys::BROKER_URL);
    match broker.split_once(':').map(|(scheme, _)| scheme) {
        None => Ok(Place::Ledger),
        Some(scheme) if ledger::SCHEMES.contains(&scheme) => Ok(Place::Ledger),
        Some(scheme) if let Some(source) = sources::of_scheme(scheme) => {
            Ok(Place::Foreign(source.name, broker.to_owned()))
        }
        Some(other) => {
            let meant = backshift_core::nearest(other, sources::schemes().map(str::to_owned));
            let meant = meant.map(|known| format!("; did you mean {known}:?")).unwrap_or_default();
            Err(Failure::configuration(format!(
                "{}: {other} is not worked by this version{meant}; use {}",
                config.told(&keys::BROKER_URL),
                sources::written(),
            )))
        }
    }
}

/// The foreign brokers that are configured, each with its URL: the command's own alone, or those beside the store's queue.
pub(crate) fn foreign(config: &Config) -> Vec<(&'static Source, String)> {
    if let Ok(Place::Foreign(name, url)) = place(config) {
        return sources::of_name(name).map(|source| (source, url)).into_iter().collect();
    }
    sources::ALL.iter().filter_map(|source| Some((*source, config.some(source.url)?.to_owned()))).collect()
}

/// Reads the two URLs; `without_store` is `--no-store`.
pub(crate) fn places(config: &Config, without_store: bool) -> Result<Places, Failure> {
    let (broker, place) = (config.get(&keys::BROKER_URL), place(config)?);
    if without_store && place == Place::Ledger {
        return Err(Failure::usage(format!(
            "--no-store: the queue of this broker is the ledger of its store; leave --no-store away, or name a broker that keeps \
             its jobs itself: --broker {}",
            sources::foreign_written()
        )));
    }
    let store = match (&place, broker) {
        (Place::Foreign(..), _) if without_store => None,
        (Place::Ledger, url) if !url.is_empty() => Some(own_store(config, url)?),
        _ => Some(database_url(config)?),
    };
    Ok(Places { broker: place, store })
}

/// The store of an SQL broker is the broker's database; another one by flag is a contradiction.
fn own_store(config: &Config, broker: &str) -> Result<String, Failure> {
    let store = config.get(&keys::DATABASE_URL);
    let same = |url: &str| url.replacen("embedded:", "sqlite:", 1);
    if matches!(config.origin(&keys::DATABASE_URL), Origin::Flag(_)) && same(store) != same(broker) {
        return Err(Failure::configuration(format!(
            "--store {} and --broker {}: the queue of this broker is the ledger of its own database; leave --store away",
            without_password(store),
            without_password(broker)
        )));
    }
    Ok(broker.to_owned())
}

/// The store: the URL, or system C's parts, or the embedded file.
pub(crate) fn database_url(config: &Config) -> Result<String, Failure> {
    if let Some(url) = config.some(&keys::DATABASE_URL) {
        return Ok(url.to_owned());
    }
    let Some(host) = config.some(&keys::DATABASE_HOST) else {
        return Ok(format!("sqlite:{}", config.data_dir().join("backshift.db").display()));
    };
    let wrong = |key: &dyn AsRef<Setting>| {
        let told = config.told(key.as_ref());
        Failure::configuration(format!(
            "{told}: it cannot be part of a URL; correct it, or set DATABASE_URL whole"
        ))
    };
    let mut url = Url::parse("postgres://localhost").map_err(|_| wrong(&keys::DATABASE_URL))?;
    url.set_host(Some(host)).map_err(|_| wrong(&keys::DATABASE_HOST))?;
    url.set_port(Some(config.get(&keys::DATABASE_PORT))).map_err(|()| wrong(&keys::DATABASE_PORT))?;
    url.set_username(config.get(&keys::DATABASE_USER)).map_err(|()| wrong(&keys::DATABASE_USER))?;
    url.set_password(config.some(&keys::DATABASE_PASSWORD)).map_err(|()| wrong(&keys::DATABASE_PASSWORD))?;
    url.set_path(config.get(&keys::DATABASE_NAME));
    if let Some(mode) = config.some(&keys::DATABASE_SSLMODE) {
        url.query_pairs_mut().append_pair("sslmode", mode);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_of_an_sql_broker_is_its_own_database() {
        let of = |flags: &[(&'static str, &str)]| places(&Config::of_flags(flags), false);
        let both = of(&[("broker.url", "embedded:a.db")]).unwrap();
        assert_eq!((both.broker, both.store.as_deref()), (Place::Ledger, Some("embedded:a.db")));
        assert!(of(&[("broker.url", "embedded:a.db"), ("database.url", "sqlite:a.db")]).is_ok());
        let text =
            of(&[("broker.url", "embedded:a.db"), ("database.url", "sqlite:b.db")]).unwrap_err().to_string();
        assert!(text.contains("leave --store away"), "{text}");
        assert!(
            of(&[("broker.url", "kafka:x")]).unwrap_err().to_string().contains("not worked by this version")
        );
    }

    #[test]
    fn the_command_s_broker_is_the_one_that_was_named_whatever_the_store_is() {
        let own = ("broker.url", "amqp://own");
        let beside = ("rabbitmq.url", "amqp://beside");
        let of = |flags: &[(&'static str, &str)]| -> Vec<String> {
            foreign(&Config::of_flags(flags)).into_iter().map(|(_, url)| url).collect()
        };
        assert_eq!(of(&[own, beside]), ["amqp://own"]);
        assert_eq!(
            of(&[own, beside, ("database.host", "a b")]),
            ["amqp://own"],
            "no host, and no matter here"
        );
        assert_eq!(of(&[beside]), ["amqp://beside"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn the_parts_of_system_c_make_a_url() {
        let parts = [("database.host", "db.local"), ("database.password", "p@ss/word")];
        let url = database_url(&Config::of_flags(&parts)).unwrap();
        assert_eq!(url, "postgres://postgres:p%40ss%2Fword@db.local:5432/postgres");
    }
}
