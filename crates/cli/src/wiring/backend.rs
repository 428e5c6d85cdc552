//! Broker, store and client of one process.

use std::{sync::Arc, time::Duration};

use backshift_core::{Broker, Client, QueueName, Store, way::Way};
use backshift_store::{Database, SqlStore, notify::Bell};

use super::{Missing, Place, Schema, foreign, open_database, places, prepare, protect};
use crate::{
    config::Config,
    domains::{self, Bound},
    exit::Failure,
    sources::{Source, ledger},
    wiring::Patience,
};

/// A broker that keeps its jobs itself.
#[derive(Clone)]
pub(crate) struct Foreign {
    pub(crate) source: &'static Source,
    pub(crate) broker: Arc<dyn Broker>,
    /// What is done on the way to it.
    pub(crate) way: Way,
    /// Queues of its peers, which a domain is bound to, with their slots.
    pub(crate) bound: Vec<(QueueName, usize)>,
}

impl Foreign {
    /// Makes it, with what the domains bind to it; connects to nothing.
    pub(crate) fn open(config: &Config, source: &'static Source, url: &str) -> Result<Self, Failure> {
        let way = (source.way)(config, url)?;
        protect(config, std::slice::from_ref(&way))?;
        let bound_to_it = domains::bindings(config, source)?;
        let bound =
            bound_to_it.iter().map(|Bound { binding, slots }| (binding.queue.clone(), *slots)).collect();
        let bindings = bound_to_it.into_iter().map(|bound| bound.binding).collect();
        Ok(Self { source, broker: (source.open)(config, url, bindings)?, way, bound })
    }

    /// Whether a domain is bound to this queue of its.
    pub(crate) fn is_bound(&self, queue: &str) -> bool {
        self.bound.iter().any(|(bound, _)| bound.as_str() == queue)
    }
}

/// What moves and remembers jobs.
#[derive(Clone)]
pub(crate) struct Backend {
    /// Moves the jobs of this command.
    pub(crate) broker: Arc<dyn Broker>,
    /// Remembers them; `None` with `--no-store`.
    pub(crate) store: Option<Arc<SqlStore>>,
    /// The broker of this command, when it is a foreign one, or those that are worked beside the store's own queue.
    pub(crate) foreign: Vec<Foreign>,
    /// Enqueues.
    pub(crate) client: Client,
}

impl Backend {
    /// Builds what the configuration means; connects to nothing but a local file, which is made when it is not there.
    pub(crate) fn build(config: &Config, without_store: bool) -> Result<Self, Failure> {
        Self::with(config, without_store, Missing::Make)
    }

    /// The same for a command that only looks: a file that is not there is an error, and is not made.
    pub(crate) fn look(config: &Config) -> Result<Self, Failure> {
        Self::with(config, false, Missing::Refuse)
    }

    /// The same, and `missing` says what happens when a local file is not there.
    pub(crate) fn with(config: &Config, without_store: bool, missing: Missing) -> Result<Self, Failure> {
        let places = places(config, without_store)?;
        let open = |url: &String| open_database(config, url, missing).map(|db| Arc::new(SqlStore::new(db)));
        let store = places.store.as_ref().map(open).transpose()?;
        let open = |(source, url): (_, String)| Foreign::open(config, source, &url);
        let foreign = foreign(config).into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let broker = match (&places.broker, foreign.first(), &store) {
            (Place::Foreign(..), Some(own), _) => Arc::clone(&own.broker),
            (_, _, Some(store)) => ledger::open(store),
            (_, _, None) => {
                let foreign = crate::sources::foreign_written();
                return Err(Failure::usage(format!(
                    "without a store there must be a broker: --broker {foreign}"
                )));
            }
        };
        let remembers = store.clone().map(|store| store as Arc<dyn Store>);
        let client = Client::new(Arc::clone(&broker), remembers);
        Ok(Self { broker, store, foreign, client })
    }

    /// The foreign broker that this command enqueues to and works; `None` = the store's own queue.
    pub(crate) fn own(&self) -> Option<&Foreign> {
        self.foreign.iter().find(|foreign| Arc::ptr_eq(&foreign.broker, &self.broker))
    }

    /// Those that are worked beside the store's own queue.
    pub(crate) fn beside(&self) -> impl Iterator<Item = &Foreign> {
        self.foreign.iter().filter(|foreign| !Arc::ptr_eq(&foreign.broker, &self.broker))
    }

    /// The foreign broker with this queue of its peers.
    pub(crate) fn bound(&self, queue: &str) -> Option<&Foreign> {
        self.foreign.iter().find(|foreign| foreign.is_bound(queue))
    }

    /// The store, or the usage error of a command that needs one.
    pub(crate) fn store(&self) -> Result<&Arc<SqlStore>, Failure> {
        self.store
            .as_ref()
            .ok_or_else(|| Failure::usage("this command needs a store: set DATABASE_URL or --store"))
    }

    /// The database under the store.
    pub(crate) fn database(&self) -> Result<&Database, Failure> {
        self.store().map(|store| store.database())
    }

    /// The same with the store's own queue as the broker: for jobs that the store's transactions enqueue.
    pub(crate) fn on_ledger(&self) -> Result<Self, Failure> {
        let broker = ledger::open(self.store()?);
        let remembers = self.store.clone().map(|store| store as Arc<dyn Store>);
        let client = Client::new(Arc::clone(&broker), remembers);
        Ok(Self { broker, client, ..self.clone() })
    }

    /// Lets go of the servers. What was accepted is durable already; what others wait to hear is sent.
    pub(crate) async fn leave(&self) {
        let goodbye = async {
            let _ = self.broker.close().await;
            for foreign in self.beside() {
                let _ = foreign.broker.close().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// Tells the workers of these queues that something is due there.
    pub(crate) async fn ring(&self, queues: impl IntoIterator<Item = QueueName>) {
        let Ok(database) = self.database() else { return };
        let bell = Bell::new(database);
        queues.into_iter().for_each(|queue| bell.ring(&queue));
        let _ = tokio::time::timeout(GOODBYE, bell.flush()).await;
    }

    /// Waits until the store answers and its schema fits; without a store there is nothing to wait for.
    pub(crate) async fn ready(
        &self,
        config: &Config,
        schema: Schema,
        patience: Patience,
    ) -> Result<(), Failure> {
        match &self.store {
            Some(store) => {
                let ask = || async {
                    prepare(config, store.database(), schema).await.map_err(|failure| failure.placed(config))
                };
                patience.wait("the store", ask).await
            }
            None => Ok(()),
        }
    }
}

/// The longest time that a goodbye takes.
const GOODBYE: Duration = Duration::from_secs(2);
