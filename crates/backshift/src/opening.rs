//! A site that is about to be opened: `.await` it. Nothing is looked at before that, also not the URLs.
//!
//! Every way to a [`Backshift`] begins here.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use backshift_core::{
    Broker,
    way::{Safety, Way},
};
use backshift_store::{Database, Options, SCHEMES, SqlStore, check, migrate};

use crate::{Backshift, OpenError};

/// What [`Backshift::open`] and its named siblings return: `.await` opens the site and checks that its tables are there and
/// that the server's settings lose nothing.
///
/// ```no_run
/// # use backshift::{Backshift, store};
/// # async fn f() -> Result<(), backshift::OpenError> {
/// let url = "postgres://app@db.example.com/app";
/// // The tables were made by `backshift migrate up`:
/// let site = Backshift::postgres(url).await?;
/// // Or by this program, when its role may; any number of them may start at once:
/// let site = Backshift::postgres(url).migrate().await?;
/// // With other numbers than the usual ones:
/// let few = store::Options { connections: 3, ..store::Options::default() };
/// let site = Backshift::postgres(url).options(few).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a site opens when this is awaited"]
pub struct Opening {
    broker: Option<String>,
    store: Option<String>,
    options: Options,
    migrates: bool,
}

impl Backshift {
    /// Queue and store in one SQLite file, made when it is not there (feature `embedded`). Needs a tokio runtime.
    #[cfg(feature = "embedded")]
    pub async fn embedded(path: &str) -> Result<Self, crate::OpenError> {
        Self::open(&format!("embedded:{path}"), None).await
    }

    /// Whatever these URLs lead to: a database (`embedded:PATH`, `sqlite:PATH`, `postgres:…`), which is queue and store at
    /// once, or a broker (`amqp:…`) with the database that remembers its jobs.
    ///
    /// ```no_run
    /// # use backshift::Backshift;
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = std::env::var("STORE_URL").ok();
    /// let site = Backshift::open(&std::env::var("BROKER_URL")?, store.as_deref()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(url: &str, store_url: Option<&str>) -> Opening {
        Opening::new(url, store_url)
    }

    /// Queue and store in one PostgreSQL database (feature `postgres`); see [`Opening`] for its tables.
    #[cfg(feature = "postgres")]
    pub fn postgres(url: &str) -> Opening {
        Opening::new(url, None)
    }

    /// Queues on RabbitMQ (feature `rabbitmq`), remembered in the database at `store_url` (`postgres:…` or `sqlite:PATH`).
    #[cfg(feature = "rabbitmq")]
    pub fn rabbitmq(url: &str, store_url: &str) -> Opening {
        Opening::new(url, Some(store_url))
    }
}

impl Opening {
    /// A broker that keeps its jobs itself, and the store beside it; or a database that is both.
    pub(crate) fn new(url: &str, store_url: Option<&str>) -> Self {
        let is_both = SCHEMES.contains(&scheme(url)) && store_url.is_none();
        let broker = (!is_both).then(|| url.to_owned());
        let store = if is_both { Some(url) } else { store_url }.map(str::to_owned);
        Self { broker, store, options: Options::default(), migrates: false }
    }

    /// Makes and upgrades the tables first, where something is missing. The role needs the right to.
    pub fn migrate(mut self) -> Self {
        self.migrates = true;
        self
    }

    /// The database layer's numbers: connections, deadline, schema, durability.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    async fn open(self) -> Result<Backshift, OpenError> {
        let foreign = self.broker.as_deref().map(|url| foreign(url, self.store.is_some())).transpose()?;
        let store = self.store().await?;
        let broker = foreign.unwrap_or_else(|| Arc::new(backshift_brokers::of_store(store.clone())));
        Ok(Backshift::of(broker, store))
    }

    async fn store(&self) -> Result<SqlStore, OpenError> {
        // Without one `foreign` has refused.
        let database = Database::open(self.store.as_deref().unwrap_or_default(), &self.options)?;
        warn_of(database.ways());
        if self.migrates || matches!(database, Database::Sqlite(_)) {
            migrate::up(&database, &[&migrate::ENGINE]).await?;
        }
        migrate::check(&database, &[&migrate::ENGINE]).await?;
        let found = check::settings(&database).await?;
        match found.is_empty() {
            true => Ok(SqlStore::new(database)),
            false => {
                Err(OpenError::Unsafe(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

impl IntoFuture for Opening {
    type Output = Result<Backshift, OpenError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// The broker at a URL that is no database's. What is wrong with it is said before a store is opened.
fn foreign(url: &str, has_store: bool) -> Result<Arc<dyn Broker>, OpenError> {
    let wrong = |text: String| Err(OpenError::Url(text));
    match scheme(url) {
        database if SCHEMES.contains(&database) => wrong(
            "the queue of a database is kept in that database: leave the URL of the store away".to_owned(),
        ),
        "amqp" | "amqps" if !cfg!(feature = "rabbitmq") => wrong(
            "this program was built without RabbitMQ: add the feature `rabbitmq` of backshift".to_owned(),
        ),
        "amqp" | "amqps" if !has_store => wrong(
            "jobs on RabbitMQ are remembered in a database: say which, such as postgres:… or sqlite:PATH"
                .to_owned(),
        ),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => {
            use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};

            let config = Config::from_url(url, Options::default())?;
            warn_of(&[config.way()]);
            Ok(Arc::new(RabbitMqBroker::new(config, Vec::new())))
        }
        "" => wrong(
            "a site is at a URL, such as embedded:jobs.db, sqlite:PATH, postgres:… or amqp:…".to_owned(),
        ),
        // The URL may hold a password: only its beginning is repeated.
        other => wrong(format!(
            "{other:?} begins no URL of a broker: write embedded:PATH, sqlite:PATH, postgres:… or amqp:…"
        )),
    }
}

/// A way that somebody between could read is said once, at the start.
fn warn_of(ways: &[Way]) {
    for way in ways {
        if let Safety::Exposed(why) = way.safety() {
            tracing::warn!(
                "{} at {} is another machine, and the way there is not safe: {why}",
                way.service,
                way.place()
            );
        }
    }
}
