//! Broker, store and client of one process.

use std::{sync::Arc, time::Duration};

use backshift_brokers::{
    embedded, postgres,
    rabbitmq::{self, QueueType, RabbitMqBroker},
};
use backshift_core::{Broker, Client, QueueName, Store, broker::Binding};
use backshift_store::{Database, SqlStore, notify::Bell};
use backshift_workers::mail::{MailDecoder, QUEUE_OF_SYSTEM_C};

use super::{Missing, Place, Schema, named, open_database, pem, places, prepare, protect, server_of};
use crate::{
    config::Config,
    exit::{Failure, Server},
    wiring::Patience,
};

/// System C's exchange (docs/contracts/system-c.md, "AMQP").
const EXCHANGE: &str = "smtp_send_email_exc";

/// What moves and remembers jobs.
#[derive(Clone)]
pub(crate) struct Backend {
    /// Moves the jobs of this command.
    pub(crate) broker: Arc<dyn Broker>,
    /// Remembers them; `None` with `--no-store`.
    pub(crate) store: Option<Arc<SqlStore>>,
    /// RabbitMQ, when it is the broker or when system C's mails come from it.
    pub(crate) rabbit: Option<RabbitMqBroker>,
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
        let rabbit = match (&places.broker, config.some("rabbitmq.url")) {
            (Place::RabbitMq(url), _) => Some(rabbit(config, url)?),
            (Place::Ledger, Some(url)) => Some(rabbit(config, url)?),
            (Place::Ledger, None) => None,
        };
        let broker: Arc<dyn Broker> = match (&places.broker, &rabbit, &store) {
            (Place::RabbitMq(_), Some(rabbit), _) => Arc::new(rabbit.clone()),
            (_, _, Some(store)) => ledger(store)?,
            (_, _, None) => {
                return Err(Failure::usage("without a store there must be a broker: --broker amqp:…"));
            }
        };
        let remembers = store.clone().map(|store| store as Arc<dyn Store>);
        let client = Client::new(Arc::clone(&broker), remembers);
        Ok(Self { broker, store, rabbit, client })
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
        let broker = ledger(self.store()?)?;
        let remembers = self.store.clone().map(|store| store as Arc<dyn Store>);
        let client = Client::new(Arc::clone(&broker), remembers);
        Ok(Self { broker, client, ..self.clone() })
    }

    /// Lets go of the servers. What was accepted is durable already; what others wait to hear is sent.
    pub(crate) async fn leave(&self) {
        let goodbye = async {
            let _ = self.broker.close().await;
            if let Some(rabbit) = &self.rabbit {
                let _ = rabbit.close().await;
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

/// The SQL broker of this store's database.
fn ledger(store: &Arc<SqlStore>) -> Result<Arc<dyn Broker>, Failure> {
    let broker = match store.database() {
        Database::Pg(_) => postgres::broker(SqlStore::clone(store)),
        Database::Sqlite(_) => embedded::broker(SqlStore::clone(store)),
    };
    Ok(Arc::new(broker.map_err(Failure::configuration)?))
}

/// What the settings say about the RabbitMQ at this URL.
pub(crate) fn rabbit_config(settings: &Config, url: &str) -> Result<rabbitmq::Config, Failure> {
    let no_text = |_| {
        let place = settings.told("rabbitmq.ca_file");
        Failure::configuration(format!(
            "{place}: it is no PEM text: name the certificate of an authority in PEM"
        ))
    };
    let ca_pem = pem(settings, "rabbitmq.ca_file")?.map(String::from_utf8).transpose().map_err(no_text)?;
    let queue_type = match settings.text("rabbitmq.queue_type") {
        "classic" => QueueType::Classic,
        "existing" => QueueType::Existing,
        _ => QueueType::Quorum,
    };
    let options = rabbitmq::Options { ca_pem, queue_type, ..rabbitmq::Options::default() };
    let wrong = |error| Failure::configuration(format!("{}: {error}", server_of(settings, Server::RabbitMq)));
    rabbitmq::Config::from_url(url, options).map_err(wrong)
}

/// RabbitMQ with system C's binding; other queues are our own.
pub(crate) fn rabbit(settings: &Config, url: &str) -> Result<RabbitMqBroker, Failure> {
    let config = rabbit_config(settings, url)?;
    protect(settings, &[named(config.way(), settings, "rabbitmq.ca_file")])?;
    let keeps_foreign_bodies = settings.switch("mail.keep_foreign_bodies");
    let binding = Binding {
        queue: QueueName::new(QUEUE_OF_SYSTEM_C).map_err(Failure::configuration)?,
        feed: Some(EXCHANGE.to_owned()),
        decoder: Arc::new(MailDecoder { keeps_foreign_bodies }),
    };
    Ok(RabbitMqBroker::new(config, vec![binding]))
}
