//! The harnesses of the memory models: the shortest examples of a harness, and the ground that planted faults
//! stand on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Bytes, Capabilities, Capability, ConsumeOptions, Consumer, Envelope, Kind,
    QueueName, Store, Timestamp,
};

use super::harness::{
    BrokerHarness, Corpse, DeadJob, EngineHarness, EngineParts, Namespace, OpenStore, StoreHarness,
};
use crate::memory::{MemoryBroker, MemoryLedgerBroker, MemoryStore, TokioClock};

/// The memory models: the foreign broker, the broker that shares the store's table, and the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryHarness {
    /// A broker that knows nothing of the ledger, as RabbitMQ.
    Foreign,
    /// A broker whose claim is the ledger row, as PostgreSQL; and its store.
    Ledger,
}

impl MemoryHarness {
    fn label(self) -> String {
        match self {
            Self::Foreign => "memory".into(),
            Self::Ledger => "memory-ledger".into(),
        }
    }

    fn space(self) -> Arc<dyn Namespace> {
        match self {
            Self::Foreign => Arc::new(ForeignSpace { broker: MemoryBroker::new().with_clock(clock()) }),
            Self::Ledger => Arc::new(LedgerSpace { store: MemoryStore::with_clock(clock()) }),
        }
    }
}

/// The time of day: the cases make their envelopes now.
fn clock() -> TokioClock {
    TokioClock::starting_at(Timestamp::now())
}

#[async_trait]
impl BrokerHarness for MemoryHarness {
    fn name(&self) -> String {
        self.label()
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        Ok(self.space())
    }
}

#[async_trait]
impl StoreHarness for MemoryHarness {
    fn name(&self) -> String {
        "memory".into()
    }

    async fn store(&self) -> Result<OpenStore, String> {
        Ok(OpenStore::of(MemoryStore::with_clock(clock())))
    }
}

#[async_trait]
impl EngineHarness for MemoryHarness {
    fn name(&self) -> String {
        self.label()
    }

    async fn parts(&self) -> Result<EngineParts, String> {
        let namespace = self.space();
        let store = namespace.store().unwrap_or_else(|| Arc::new(MemoryStore::with_clock(clock())));
        Ok(EngineParts { namespace, store, guard: Box::new(()) })
    }
}

struct ForeignSpace {
    broker: MemoryBroker,
}

#[async_trait]
impl Namespace for ForeignSpace {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        Ok(Arc::new(Connection::to(self.broker.clone())))
    }

    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        drop(corpse);
        self.broker.cut();
        Ok(())
    }

    async fn dead_letters(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        let letter = |dead: crate::memory::DeadMessage| {
            let reason = dead.letter.reason.as_str().to_owned();
            match dead.job {
                Ok(job) => DeadJob { id: Some(job.id), payload: job.payload, reason },
                Err(malformed) => DeadJob { id: None, payload: malformed.raw, reason },
            }
        };
        Ok(self.broker.dead(queue).into_iter().map(letter).collect())
    }

    async fn publish_malformed(&self, queue: &QueueName, raw: Bytes) -> Result<bool, String> {
        self.broker.put_malformed(queue, raw, "no JSON");
        Ok(true)
    }

    async fn publish_nameless(&self, queue: &QueueName, kind: &Kind, payload: Bytes) -> Result<bool, String> {
        self.broker.put_anonymous(Envelope::new(kind.clone(), queue.clone(), payload, Timestamp::now()));
        Ok(true)
    }

    async fn refuse_copies(&self, _queue: &QueueName, refused: bool) -> Result<bool, String> {
        self.broker.refuse_copies(refused);
        Ok(true)
    }

    async fn cut_connections(&self) -> Result<bool, String> {
        self.broker.cut();
        Ok(true)
    }
}

struct LedgerSpace {
    store: MemoryStore,
}

#[async_trait]
impl Namespace for LedgerSpace {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        let broker: MemoryLedgerBroker = self.store.broker();
        Ok(Arc::new(Connection::to(broker)))
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(Arc::new(self.store.clone()))
    }
}

/// One connection to a memory broker: it can be closed, and it refuses what the broker does not claim.
struct Connection<B> {
    broker: B,
    closed: AtomicBool,
}

impl<B: Broker> Connection<B> {
    fn to(broker: B) -> Self {
        Self { broker, closed: AtomicBool::new(false) }
    }

    fn open(&self) -> Result<&B, BrokerError> {
        if self.closed.load(Ordering::Acquire) { Err(BrokerError::Closed) } else { Ok(&self.broker) }
    }

    /// The first capability that the envelope needs and the broker does not claim.
    fn missing(&self, envelope: &Envelope) -> Option<Capability> {
        let needs = [
            (envelope.run_at.is_some(), Capability::Delay),
            (envelope.priority != 0, Capability::Priority),
            (envelope.unique.is_some(), Capability::Unique),
            (envelope.idempotency_key.is_some(), Capability::KnownId),
        ];
        let claims = self.broker.capabilities();
        needs.into_iter().find(|(needed, what)| *needed && !claims.has(*what)).map(|(_, what)| what)
    }

    async fn publish_one(&self, envelope: Envelope) -> Result<Accepted, BrokerError> {
        let broker = self.open()?;
        if let Some(capability) = self.missing(&envelope) {
            let remedy = "enqueue through a client with a store";
            return Err(BrokerError::Unsupported { broker: broker.name(), capability, remedy });
        }
        broker.publish(vec![envelope]).await.pop().unwrap_or(Err(BrokerError::Closed))
    }
}

#[async_trait]
impl<B: Broker> Broker for Connection<B> {
    fn name(&self) -> &'static str {
        self.broker.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }

    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.open()?.declare(queue).await
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        let mut answers = Vec::with_capacity(batch.len());
        for envelope in batch {
            answers.push(self.publish_one(envelope).await);
        }
        answers
    }

    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.open()?.consume(queue, options).await
    }

    fn trouble(&self, queue: &QueueName) -> Option<String> {
        self.broker.trouble(queue)
    }

    fn lateness(&self, delay: std::time::Duration) -> std::time::Duration {
        self.broker.lateness(delay)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.open()?.depth(queue).await
    }

    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.open()?.remove(queue).await
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.open()?.ping().await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.closed.store(true, Ordering::Release);
        self.broker.close().await
    }
}
