//! The broker port over the ledger.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Capabilities, Capability, ConsumeOptions, Consumer, Envelope, QueueName,
    store::Holder,
};
use backshift_store::{Database, SqlStore, ledger, notify::Bell};

use super::{
    care::Care,
    consumer::LedgerConsumer,
    publisher::Publisher,
    settler::Settler,
    shared::{Shared, most_of},
    walked::Walked,
};

/// A broker whose queue is the ledger of one database.
pub struct LedgerBroker {
    name: &'static str,
    database: Database,
    store: SqlStore,
    publisher: Publisher,
    settler: Settler,
    bell: Bell,
    closed: AtomicBool,
}

impl LedgerBroker {
    /// A broker under this name over a store whose schema is in place; needs a tokio runtime.
    pub(crate) fn new(name: &'static str, store: SqlStore) -> Self {
        let database = store.database().clone();
        let bell = store.bell().clone();
        Self {
            name,
            publisher: Publisher::start(name, database.clone(), bell.clone()),
            settler: Settler::start(name, database.clone(), bell.clone()),
            database,
            store,
            bell,
            closed: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Broker for LedgerBroker {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capabilities(&self) -> Capabilities {
        use Capability::{Cancel, Delay, Fencing, KnownId, Lease, Ledger, Priority, Unique};
        Capabilities::of(&[Cancel, Delay, Fencing, KnownId, Lease, Ledger, Priority, Unique])
    }

    /// A queue of the ledger exists as soon as a job names it.
    async fn declare(&self, _: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        if self.closed.load(Ordering::Acquire) {
            return batch.iter().map(|_| Err(BrokerError::Closed)).collect();
        }
        self.publisher.publish(batch).await
    }

    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(BrokerError::Closed);
        }
        let shared = Shared {
            broker: self.name,
            database: self.database.clone(),
            store: self.store.clone(),
            settler: self.settler.clone(),
            queue: queue.clone(),
            holder: Arc::new(Holder { worker: options.worker, lease: options.lease }),
            care: Care::new(options.kinds),
            lonely_out: Arc::new(AtomicBool::new(false)),
            rounds: AtomicU32::new(0),
            most: most_of(options.slots),
            settled: Arc::default(),
            place: Walked::default(),
        };
        Ok(Box::new(LedgerConsumer::new(shared, &self.bell)))
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        ledger::depth(&self.database, queue).await.map_err(|error| BrokerError::of_store(self.name, error))
    }

    /// The queue is the ledger, which keeps its jobs: there is nothing else.
    async fn remove(&self, _queue: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.database.ping().await.map_err(|error| BrokerError::of_store(self.name, error))
    }

    /// Publishes and settlements are durable when they are answered; the rings that tell others of them are sent.
    async fn close(&self) -> Result<(), BrokerError> {
        self.closed.store(true, Ordering::Release);
        self.bell.flush().await;
        Ok(())
    }
}
