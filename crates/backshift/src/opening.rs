//! A site on servers that is about to be opened: `.await` it.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use backshift_brokers::{
    postgres,
    rabbitmq::{Config, Options as RabbitOptions, RabbitMqBroker},
};
use backshift_core::way::{Safety, Way};
use backshift_store::{
    Database, Options, SqlStore, check,
    migrate::{self, Extras},
};

use crate::{Backshift, OpenError};

/// What [`Backshift::postgres`] and [`Backshift::rabbitmq`] return: `.await` opens the site and checks that its tables are
/// there and that the server's settings lose nothing.
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
    store: String,
    rabbit: Option<String>,
    options: Options,
    migrates: bool,
}

impl Opening {
    pub(crate) fn new(store: &str, rabbit: Option<&str>) -> Self {
        let (store, rabbit) = (store.to_owned(), rabbit.map(str::to_owned));
        Self { store, rabbit, options: Options::default(), migrates: false }
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
        let store = self.store().await?;
        match self.rabbit {
            None => {
                let broker = postgres::broker(store.clone())?;
                Ok(Backshift::of(Arc::new(broker), store))
            }
            Some(url) => {
                let config = Config::from_url(&url, RabbitOptions::default())?;
                warn_of(&[config.way()]);
                Ok(Backshift::of(Arc::new(RabbitMqBroker::new(config, Vec::new())), store))
            }
        }
    }

    async fn store(&self) -> Result<SqlStore, OpenError> {
        let database = Database::open(&self.store, &self.options)?;
        warn_of(database.ways());
        if self.migrates || matches!(database, Database::Sqlite(_)) {
            migrate::up(&database, Extras::default()).await?;
        }
        migrate::check(&database, Extras::default()).await?;
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
