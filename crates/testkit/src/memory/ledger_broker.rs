//! A broker whose claim already is the ledger row, as PostgreSQL and the embedded queue are.
//!
//! Its deliveries carry a start; settling the receipt settles the ledger, fenced by the token.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    Accepted, Ack, Broker, BrokerError, Capabilities, Capability, ConsumeOptions, Consumer, DeadLetter,
    Delivery, Envelope, Kinds, Lease, Moment, QueueName, Receipt, Retry, Settled, Settlement, State,
    StoreError, Timestamp,
    store::{CRASHES_BEFORE_ALONE, Finish, Holder},
};
use tokio::time::sleep;

use super::{
    MemoryStore, ledger,
    row::{Row, later},
};

pub(super) const NAME: &str = "memory-ledger";

/// The broker that shares a [`MemoryStore`]'s table. Cheap to clone.
#[derive(Clone)]
pub struct MemoryLedgerBroker {
    store: MemoryStore,
}

impl MemoryLedgerBroker {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { store }
    }
}

fn error(error: StoreError) -> BrokerError {
    BrokerError::of_store(NAME, error)
}

#[async_trait]
impl Broker for MemoryLedgerBroker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[
            Capability::Delay,
            Capability::Priority,
            Capability::Unique,
            Capability::KnownId,
            Capability::Fencing,
            Capability::Ledger,
            Capability::Cancel,
            Capability::Lease,
        ])
    }

    async fn declare(&self, _queue: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        let count = batch.len();
        let accepted = self
            .store
            .call("broker.publish", |store| {
                let (now, mut table) = (store.now(), store.table());
                Ok(batch.into_iter().map(|envelope| table.accept(envelope, NAME, now)).collect::<Vec<_>>())
            })
            .await;
        self.store.arrived().notify_waiters();
        match accepted {
            Ok(accepted) => accepted.into_iter().map(Ok).collect(),
            Err(problem) => {
                let problem = problem.to_string();
                (0..count)
                    .map(|_| Err(BrokerError::Unknown { broker: NAME, problem: problem.clone() }))
                    .collect()
            }
        }
    }

    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let holder = Holder { worker: options.worker, lease: options.lease };
        let (store, queue, kinds) = (self.store.clone(), queue.clone(), options.kinds);
        let consumer = LedgerConsumer { store, queue, holder, kinds, quiet: false };
        self.store.call("broker.consume", |_| Ok(())).await.map_err(error)?;
        Ok(Box::new(consumer))
    }

    /// Nobody tells its consumer of a time: it looks four times a second.
    fn lateness(&self, _delay: Duration) -> Duration {
        Duration::from_millis(300)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.store
            .call("broker.depth", |store| {
                let table = store.table();
                // What stands aside, or waits for the seat of those that run alone, says of no worker that it is stuck.
                let seat_is_free = table.seat_is_free();
                let may = |row: &Row| !row.aside && (seat_is_free || row.crashes < CRASHES_BEFORE_ALONE);
                let waits =
                    |row: &&Row| row.state == State::Available && row.envelope.queue == *queue && may(row);
                Ok(table.rows.values().filter(waits).count() as u64)
            })
            .await
            .map_err(error)
    }

    /// The queue is the ledger, which keeps its jobs: there is nothing else.
    async fn remove(&self, _queue: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.store.call("broker.ping", |_| Ok(())).await.map_err(error)
    }

    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

struct LedgerConsumer {
    store: MemoryStore,
    queue: QueueName,
    holder: Holder,
    kinds: Option<Kinds>,
    quiet: bool,
}

impl LedgerConsumer {
    async fn claim(&self, free: usize) -> Result<Vec<Delivery>, StoreError> {
        let asked_at = Moment::now();
        self.store
            .call("broker.next", |store| {
                let (now, mut table) = (store.now(), store.table());
                if table.paused.contains(&self.queue) {
                    return Ok(Vec::new());
                }
                let due = |row: &Row| match row.state {
                    State::Available => true,
                    State::Scheduled | State::Retrying => row.run_at <= now,
                    _ => false,
                };
                let mine = |row: &&Row| {
                    let here = row.broker == NAME && row.envelope.queue == self.queue && due(row);
                    here && table.waits_for(row, now).is_none()
                };
                let known =
                    |row: &Row| self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&row.envelope.kind));
                let key = |row: &Row| (-row.envelope.priority, row.run_at, row.envelope.id, known(row));
                let mut ids: Vec<_> = table.rows.values().filter(mine).map(key).collect();
                ids.sort_unstable();
                let mut deliveries = Vec::new();
                for (.., id, known) in ids {
                    if deliveries.len() == free {
                        break;
                    }
                    let seat_is_free = table.seat_is_free();
                    let Some(row) = table.rows.get_mut(&id) else { continue };
                    if !known {
                        row.aside = row.state == State::Available;
                        continue;
                    }
                    let alone = row.crashes >= CRASHES_BEFORE_ALONE;
                    if alone && !seat_is_free {
                        continue;
                    }
                    let delivery = self.deliver(row, now, asked_at);
                    if let Some(start) = delivery.start.as_ref().filter(|_| alone) {
                        table.alone = Some(start.lease);
                    }
                    deliveries.push(delivery);
                }
                Ok(deliveries)
            })
            .await
    }

    fn deliver(&self, row: &mut Row, now: Timestamp, asked_at: Moment) -> Delivery {
        let start = row.start(&self.holder, now);
        let envelope = Envelope { attempt: start.attempt, ..row.envelope.clone() };
        let receipt = LedgerReceipt { store: self.store.clone(), lease: start.lease };
        Delivery {
            job: Ok(envelope),
            redelivered: start.starts > 1,
            anonymous: false,
            start: Some(start),
            claimed_at: Some(asked_at),
            receipt: Box::new(receipt),
        }
    }
}

#[async_trait]
impl Consumer for LedgerConsumer {
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        loop {
            if self.quiet {
                return Err(BrokerError::Closed);
            }
            let store = self.store.clone();
            let mut arrived = std::pin::pin!(store.arrived().notified());
            arrived.as_mut().enable();
            let deliveries = self.claim(free).await.map_err(error)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            tokio::select! { biased; () = arrived => {}, () = sleep(Duration::from_millis(250)) => {} }
        }
    }

    async fn quiet(&mut self) {
        self.quiet = true;
    }
}

struct LedgerReceipt {
    store: MemoryStore,
    lease: Lease,
}

impl LedgerReceipt {
    async fn settle(&self, call: &'static str, settlement: Settlement) -> Result<Settled, BrokerError> {
        let lease = self.lease;
        let answer = self
            .store
            .call(call, |store| {
                let now = store.now();
                let mut table = store.table();
                Ok(ledger::finish(&mut table, &Finish { lease, settlement, durable: true }, now))
            })
            .await;
        self.store.arrived().notify_waiters();
        answer.map_err(|problem| BrokerError::Unknown { broker: NAME, problem: problem.to_string() })
    }
}

#[async_trait]
impl Receipt for LedgerReceipt {
    async fn ack(self: Box<Self>, ack: Ack) -> Result<Settled, BrokerError> {
        self.settle("broker.ack", Settlement::Ack(ack)).await
    }

    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError> {
        self.settle("broker.retry", Settlement::Retry(Box::new(retry))).await
    }

    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError> {
        self.settle("broker.dead_letter", Settlement::DeadLetter(letter)).await
    }

    async fn extend(&mut self, by: Duration) -> Result<(), BrokerError> {
        let lease = self.lease;
        self.store
            .call("broker.extend", |store| {
                let now = store.now();
                let mut table = store.table();
                match table.rows.get_mut(&lease.job).filter(|row| row.is_held_by(&lease)) {
                    Some(row) => row.lease_until = Some(later(now, by)),
                    None => return Err(StoreError::Stale),
                }
                Ok(())
            })
            .await
            .map_err(error)
    }
}
