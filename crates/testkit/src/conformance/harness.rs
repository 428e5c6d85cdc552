//! What an adapter says about itself so that the suites can try it.
//!
//! The rarely needed parts have defaults: a harness names the adapter, opens a private namespace and connects.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Broker, Bytes, Consumer, Delivery, JobFilter, JobId, Kind, Page, QueueName, State, Store,
};

/// A broker that can be tried.
#[async_trait]
pub trait BrokerHarness: Send + Sync + 'static {
    /// The adapter and its server, as shown in the table: `rabbitmq-3.10`.
    fn name(&self) -> String;

    /// A fresh namespace in which nothing of any other case is visible.
    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String>;

    /// How long a claim holds without a heartbeat in these tests: 100 ms to 2 s, stretched when the machine is slow.
    fn lease(&self) -> Duration {
        Duration::from_millis(500)
    }
}

/// A private corner of a broker, held until the case is over.
#[async_trait]
pub trait Namespace: Send + Sync + 'static {
    /// One more connection, as another process would make it.
    async fn connect(&self) -> Result<Arc<dyn Broker>, String>;

    /// The store that shares its table with this broker (`Capability::Ledger`).
    fn store(&self) -> Option<Arc<dyn Store>> {
        None
    }

    /// Called every 25 ms while a case runs: what an engine's scheduler and rescuer do for this broker.
    async fn tend(&self) -> Result<(), String> {
        let Some(store) = self.store() else { return Ok(()) };
        store.promote(1000).await.map_err(|error| error.to_string())?;
        store.rescue().await.map_err(|error| error.to_string())?;
        Ok(())
    }

    /// How the death of a process looks: its connection is gone and nothing that it held was settled.
    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        drop(corpse);
        Ok(())
    }

    /// What lies in the queue's dead-letter place.
    async fn dead_letters(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        let Some(store) = self.store() else {
            return Err("this harness has no store and does not say how to read dead letters".into());
        };
        let filter =
            JobFilter { state: Some(State::Dead), queue: Some(queue.clone()), ..JobFilter::default() };
        let rows = store.list(&filter, &Page { after: None, limit: 500 }).await;
        let rows = rows.map_err(|error| error.to_string())?;
        let letter = |row: backshift_core::JobRecord| DeadJob {
            id: Some(row.id),
            payload: row.payload.unwrap_or_default(),
            reason: row.reason.unwrap_or_default(),
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// Puts bytes into the queue that are no job of ours, as a careless foreign producer would; `false` = there is
    /// no such way in.
    async fn publish_malformed(&self, _queue: &QueueName, _raw: Bytes) -> Result<bool, String> {
        Ok(false)
    }

    /// Puts a job without an id of its own into the queue, as a producer that knows nothing of ids would; `false` = each
    /// message of this broker has one.
    async fn publish_nameless(
        &self,
        _queue: &QueueName,
        _kind: &Kind,
        _payload: Bytes,
    ) -> Result<bool, String> {
        Ok(false)
    }

    /// From now on the broker takes no copies of this queue's retries and dead letters (a right that is missing, a full
    /// dead-letter place), or takes them again; `false` = settling needs no copy here.
    async fn refuse_copies(&self, _queue: &QueueName, _refused: bool) -> Result<bool, String> {
        Ok(false)
    }

    /// Cuts every connection as a restart of the server does; `false` = cannot be done here.
    async fn cut_connections(&self) -> Result<bool, String> {
        Ok(false)
    }
}

/// What a dead process held.
pub struct Corpse {
    /// Its connection.
    pub broker: Arc<dyn Broker>,
    /// Its consumers.
    pub consumers: Vec<Box<dyn Consumer>>,
    /// Its unsettled deliveries.
    pub held: Vec<Delivery>,
}

/// A dead letter as a person would find it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadJob {
    /// The job's id, if the bytes had one.
    pub id: Option<JobId>,
    /// The bytes as sent.
    pub payload: Bytes,
    /// `backshift-reason`.
    pub reason: String,
}

/// A store that can be tried.
#[async_trait]
pub trait StoreHarness: Send + Sync + 'static {
    /// The adapter, as shown in the table: `postgres`, `sqlite`.
    fn name(&self) -> String;

    /// A fresh and empty store, migrated, which nobody else uses.
    async fn store(&self) -> Result<OpenStore, String>;

    /// How long a claim holds without a heartbeat in these tests: 100 ms to 2 s, stretched when the machine is slow.
    fn lease(&self) -> Duration {
        Duration::from_millis(500)
    }
}

/// A store for one case, and what has to live as long.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Dropped after the case: a test database, a directory.
    pub guard: Box<dyn Send + Sync>,
}

impl OpenStore {
    /// A store that needs nothing else.
    pub fn of(store: impl Store) -> Self {
        Self { store: Arc::new(store), guard: Box::new(()) }
    }

    /// A store that lives in something that is removed afterwards.
    pub fn within(store: impl Store, guard: impl Send + Sync + 'static) -> Self {
        Self { store: Arc::new(store), guard: Box::new(guard) }
    }
}

/// A broker and a store under the real engine.
#[async_trait]
pub trait EngineHarness: Send + Sync + 'static {
    /// Broker and store, as shown in the table: `rabbitmq+postgres`.
    fn name(&self) -> String;

    /// A fresh pair which nobody else uses.
    async fn parts(&self) -> Result<EngineParts, String>;

    /// Whether hints of one process reach another: a transaction pooler passes none.
    fn hints(&self) -> bool {
        true
    }

    /// The lease of the engine's claims in these tests, stretched when the machine is slow.
    fn lease(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// What an engine is built on.
pub struct EngineParts {
    /// Moves the jobs.
    pub namespace: Arc<dyn Namespace>,
    /// Remembers them; for a broker with `Capability::Ledger` the store that it shares.
    pub store: Arc<dyn Store>,
    /// Dropped after the case: a test database, a directory.
    pub guard: Box<dyn Send + Sync>,
}
