//! A broker and a store that belong together, and the worker on top of them.
//!
//! Opening brings up the schema of an embedded file; on a server it only checks it, because `backshift migrate up` is a
//! decision of whoever owns the database.

use std::{future::Future, sync::Arc};

use backshift_brokers::{
    embedded, postgres,
    rabbitmq::{Config, Options as RabbitOptions, RabbitMqBroker},
};
use backshift_core::{
    Broker, BrokerName, Client, Envelope, QueueName, Registry, Store, StoreError, WorkerName,
    way::{Safety, Way},
};
use backshift_runtime::{Drained, Shutdown, Worker, WorkerBuilder};
use backshift_store::{
    Database, Options, SqlStore, check,
    foreign::{ForeignTx, enqueue_in},
    migrate::{self, Extras},
};

use crate::OpenError;

/// An opened site. Cheap to clone.
#[derive(Clone)]
pub struct Backshift {
    broker: Arc<dyn Broker>,
    store: Arc<SqlStore>,
}

impl Backshift {
    /// Queue and store in one SQLite file, made when it is not there. Needs a tokio runtime.
    pub async fn embedded(path: &str) -> Result<Self, OpenError> {
        let database = Database::open(&format!("embedded:{path}"), &Options::default())?;
        migrate::up(&database, Extras::default()).await?;
        let store = SqlStore::new(database);
        Ok(Self { broker: Arc::new(embedded::broker(store.clone())?), store: Arc::new(store) })
    }

    /// Queue and store in one PostgreSQL database whose schema is in place.
    pub async fn postgres(url: &str) -> Result<Self, OpenError> {
        let store = checked(url).await?;
        Ok(Self { broker: Arc::new(postgres::broker(store.clone())?), store: Arc::new(store) })
    }

    /// Queues on RabbitMQ, remembered in the database at `store_url` (`postgres:…` or `sqlite:PATH`).
    pub async fn rabbitmq(url: &str, store_url: &str) -> Result<Self, OpenError> {
        let store = checked(store_url).await?;
        let config = Config::from_url(url, RabbitOptions::default())?;
        warn_of(&[config.way()]);
        Ok(Self { broker: Arc::new(RabbitMqBroker::new(config, Vec::new())), store: Arc::new(store) })
    }

    /// Enqueues jobs.
    pub fn client(&self) -> Client {
        Client::new(Arc::clone(&self.broker), Some(Arc::clone(&self.store) as Arc<dyn Store>))
    }

    /// Accepts jobs for this site inside a transaction of yours on its store: they are there exactly when it commits. How many
    /// are new.
    ///
    /// # Errors
    /// The database's answer; roll the transaction back.
    pub async fn enqueue_in(&self, tx: &mut impl ForeignTx, jobs: &[Envelope]) -> Result<u64, StoreError> {
        enqueue_in(tx, BrokerName::of(&*self.broker), jobs).await
    }

    /// Sends what others wait to hear and lets go of the servers: the last thing that a short program does. What was accepted is
    /// durable without it; other processes would find it at their next poll.
    pub async fn close(&self) {
        let _ = self.broker.close().await;
    }

    /// The database under the store, for effects in a transaction with the completion.
    pub fn database(&self) -> &Database {
        self.store.database()
    }

    /// What remembers jobs.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// What moves them.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// A worker with these handlers; give it pools and run it.
    pub fn worker(&self, registry: Registry) -> Shift {
        let builder = Worker::builder()
            .broker(Arc::clone(&self.broker))
            .store(Arc::clone(&self.store) as Arc<dyn Store>)
            .registry(registry);
        Shift { builder, name: None }
    }
}

/// A worker that is being put together.
pub struct Shift {
    builder: WorkerBuilder,
    name: Option<WorkerName>,
}

impl Shift {
    /// Works a queue with this many slots.
    pub fn pool(mut self, queue: &str, slots: usize) -> Result<Self, OpenError> {
        self.builder = self.builder.pool(QueueName::new(queue)?, slots);
        Ok(self)
    }

    /// Names the process; the process id by default. Must be unique among the workers that run now.
    pub fn name(mut self, name: &str) -> Result<Self, OpenError> {
        self.name = Some(WorkerName::new(name)?);
        Ok(self)
    }

    /// Everything else that the engine can be told.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// Works until `stop` ends, then drains: running jobs may end, the rest goes back uncounted.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<Drained, OpenError> {
        let name = match self.name {
            Some(name) => name,
            None => WorkerName::new(format!("worker-{}", std::process::id()))?,
        };
        let worker = self.builder.name(name).build()?;
        let shutdown = Shutdown::new();
        let running = worker.run(shutdown.clone());
        let stopping = async {
            stop.await;
            shutdown.quiet();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            drained = running => Ok(drained?),
            () = stopping => unreachable!("stopping never ends: the worker's own end is waited for"),
        }
    }
}

async fn checked(url: &str) -> Result<SqlStore, OpenError> {
    let database = Database::open(url, &Options::default())?;
    warn_of(database.ways());
    if matches!(database, Database::Sqlite(_)) {
        migrate::up(&database, Extras::default()).await?;
    }
    migrate::check(&database, Extras::default()).await?;
    let found = check::settings(&database).await?;
    match found.is_empty() {
        true => Ok(SqlStore::new(database)),
        false => Err(OpenError::Unsafe(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))),
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
