//! The port that moves envelopes: what a message system can really do, and no more.
//!
//! Adapters batch underneath (pipelined publishes, coalesced acks, multi-row claims). Settling consumes the
//! [`Receipt`], so a second ack does not compile; a receipt that is dropped unsettled leads to redelivery.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    Accepted, Ack, Completion, DeadLetter, Envelope, Headers, Kind, Kinds, Malformed, Moment, QueueName,
    Retry, Settled, Settlement, StoreError, WorkerName, store::Start,
};

/// Moves envelopes. Cheap to share, safe to call from many tasks.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// `embedded`, `postgres`, `rabbitmq` …; also the ledger's `broker` column.
    fn name(&self) -> &'static str;

    /// What this broker can do; claimed means it works, not claimed means [`BrokerError::Unsupported`].
    fn capabilities(&self) -> Capabilities;

    /// Makes sure that the queue exists, without changing one that does. Idempotent.
    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError>;

    /// The same with everything else that a worker of the queue will need, so that a missing right is known before.
    async fn prepare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.declare(queue).await
    }

    /// Whether the queue is there; an error when it is and a worker cannot use it as it is. Makes nothing. A broker whose queue
    /// is the ledger answers yes.
    async fn inspect(&self, _queue: &QueueName) -> Result<bool, BrokerError> {
        Ok(true)
    }

    /// Hands over many envelopes; one answer each, in order, and each only once it is durable. An error that is
    /// [`BrokerError::Unknown`] may have been accepted: publish the same id again, never a new one.
    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>>;

    /// Begins to take work from a queue, declaring it when needed.
    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError>;

    /// How late a job with this delay may come although a worker is idle: the granularity of this broker's delays. It never
    /// comes early.
    fn lateness(&self, _delay: Duration) -> Duration {
        Duration::from_millis(50)
    }

    /// How many envelopes wait, about.
    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError>;

    /// How many messages of this queue are held by no consumer, including those that wait for their time in queues of ours.
    async fn left(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.depth(queue).await
    }

    /// What keeps this broker from settling deliveries of the queue, in words for a person: a copy that the server does
    /// not take, an object that may not be made. `None` = nothing is known. Never waits.
    fn trouble(&self, _queue: &QueueName) -> Option<String> {
        None
    }

    /// Deletes a queue of our own with every message in it; a missing one is not an error. Where the queue is the ledger
    /// ([`Capability::Ledger`]) its jobs stay.
    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError>;

    /// Whether the server answers; cheap enough for a readiness probe.
    async fn ping(&self) -> Result<(), BrokerError>;

    /// Flushes what is pending and lets go of the server. Idempotent.
    async fn close(&self) -> Result<(), BrokerError>;
}

/// What a consumer needs to know of its pool.
#[derive(Debug, Clone)]
pub struct ConsumeOptions {
    /// How many deliveries may be unsettled at once: the pool's slots.
    pub slots: usize,
    /// The kinds that this worker has a handler for; `None` = whatever comes. A broker that can filter
    /// ([`Capability::Ledger`]) delivers no others and puts those that it meets aside for a consumer that names them.
    pub kinds: Option<Kinds>,
    /// How long a claim in the ledger holds without a heartbeat.
    pub lease: Duration,
    /// The process that asks.
    pub worker: WorkerName,
    /// Slots that are taken although no delivery is out for them.
    pub occupied: Occupied,
}

/// How many slots of a pool are taken by jobs whose deliveries are acknowledged already, because the ledger keeps them
/// ([`Receipt::hand_over`]). A broker that counts unsettled deliveries must not fill these slots a second time. Cheap to
/// clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Occupied(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    count: AtomicUsize,
    changed: Notify,
}

impl Occupied {
    /// One more, until the answer is dropped.
    #[must_use]
    pub fn take(&self) -> OccupiedSlot {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
        OccupiedSlot(self.clone())
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Waits until one was taken or freed since the last time. One waits at a time: the fetcher, or its consumer.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

/// One slot that is taken without a delivery, until this is dropped.
#[derive(Debug)]
pub struct OccupiedSlot(Occupied);

impl Drop for OccupiedSlot {
    fn drop(&mut self) {
        let Taken { count, changed } = &*self.0.0;
        count.fetch_sub(1, Ordering::SeqCst);
        changed.notify_one();
    }
}

/// Takes deliveries from one queue.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for work and returns 1 to `free` deliveries. Cancel-safe: a dropped call loses nothing. An error means
    /// that this consumer is over; the caller makes a new one.
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError>;

    /// Gives back, uncounted, what was taken and not handed out, because the next call of `next` may be a long time off.
    /// A broker that holds such messages by its connection, without a lease, gives back only those for which no slot is left
    /// because of [occupied](Occupied) ones.
    async fn put_back(&mut self) {}

    /// Stops taking; deliveries already handed out stay settleable, prefetched ones go back uncounted.
    async fn quiet(&mut self);
}

/// An envelope (or bytes that are none) with the right to settle it.
pub struct Delivery {
    /// The job, or what is wrong with the bytes.
    pub job: Result<Envelope, Malformed>,
    /// The broker says that it was handed out before. Never trusted as a count.
    pub redelivered: bool,
    /// The message carried no id: its identity is this delivery (docs/contracts/system-c.md, "AMQP").
    pub anonymous: bool,
    /// Set by brokers whose claim is already the ledger row; then settling the receipt settles the ledger.
    pub start: Option<Start>,
    /// When the claim of that start was sent, at the latest: its lease holds so long from then on.
    pub claimed_at: Option<Moment>,
    /// The right to settle.
    pub receipt: Box<dyn Receipt>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("job", &self.job.as_ref().map(|job| job.id))
            .field("redelivered", &self.redelivered)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// Whether the connection that holds a delivery still stands. Cut, the broker hands the same delivery out again.
#[derive(Clone)]
pub struct Tie(Arc<dyn Fn() -> bool + Send + Sync>);

impl Tie {
    /// Asks this each time: whether the connection is gone.
    pub fn new(is_cut: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_cut))
    }

    /// Whether the connection is gone.
    pub fn is_cut(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tie").field("is_cut", &self.is_cut()).finish()
    }
}

/// The right to settle one delivery, once. Answers come when the settlement is durable.
#[async_trait]
pub trait Receipt: Send {
    /// What holds the delivery, where that is a connection: cut *before* the same consumer's successor hands out
    /// what is delivered again. `None` = a lease holds it.
    fn tie(&self) -> Option<Tie> {
        None
    }

    /// Ends the delivery.
    async fn ack(self: Box<Self>, ack: Ack) -> Result<Settled, BrokerError>;

    /// Ends the delivery although its job goes on: the ledger keeps the job from here on and brings it back by itself.
    /// The job still takes one of the consumer's slots, as [`ConsumeOptions::occupied`] says.
    async fn hand_over(self: Box<Self>) -> Result<Settled, BrokerError> {
        self.ack(Ack::Completed(Completion::default())).await
    }

    /// Puts the next envelope into the queue after the delay, confirmed, and then ends this delivery: a crash in
    /// between doubles the job and never loses it. While the server does not take the envelope, the delivery is kept
    /// and the envelope offered again; [`Broker::trouble`] says so.
    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError>;

    /// Puts the message into the dead-letter place, confirmed, and then ends this delivery; waits like `retry`.
    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError>;

    /// Keeps the delivery for longer. Brokers that hold deliveries by connection do nothing.
    async fn extend(&mut self, by: Duration) -> Result<(), BrokerError>;

    /// Whether all that settling does is write the ledger's row. An engine with that ledger writes the rows of many
    /// receipts at once instead, and tells each of them by [`Receipt::written`].
    fn only_writes_ledger(&self) -> bool {
        false
    }

    /// The ledger has answered: the row is written, or was somebody else's by now.
    fn written(self: Box<Self>) {}
}

/// Settles a receipt as said.
pub async fn settle(receipt: Box<dyn Receipt>, settlement: Settlement) -> Result<Settled, BrokerError> {
    match settlement {
        Settlement::Ack(ack) => receipt.ack(ack).await,
        Settlement::Retry(retry) => receipt.retry(*retry).await,
        Settlement::DeadLetter(letter) => receipt.dead_letter(letter).await,
    }
}

/// What foreign bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Their kind.
    pub kind: Kind,
    /// The producer's own id of the job, where the bytes name one; a message that brings an id of its own goes by that.
    pub id: Option<String>,
    /// Whom the job concerns, where the bytes say so.
    pub user_id: Option<uuid::Uuid>,
    /// Set when the ledger must not keep the bytes: what it keeps in their place, as headers of the job.
    pub instead: Option<Headers>,
}

impl From<Kind> for Decoded {
    fn from(kind: Kind) -> Self {
        Self { kind, id: None, user_id: None, instead: None }
    }
}

/// Reads one foreign format: says which kind the bytes are, or what is wrong with them.
pub trait Decoder: Send + Sync + 'static {
    /// What these bytes are, or the problem in words that name no secret and mask addresses. Called on the threads that
    /// receive: work in proportion to the bytes, and little.
    fn decode(&self, raw: &Bytes, headers: &Headers) -> Result<Decoded, String>;
}

/// A foreign queue and what feeds it, mapped to kinds by a decoder.
#[derive(Clone)]
pub struct Binding {
    /// The queue that the peers declare.
    pub queue: QueueName,
    /// What feeds it, if anything does: an exchange, subjects or a topic, as the broker calls it. Own retries never pass it.
    pub feed: Option<String>,
    /// Bytes to kinds.
    pub decoder: Arc<dyn Decoder>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("queue", &self.queue)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}

/// Something that not every broker can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Envelopes with `run_at` in the future are held by the broker.
    Delay,
    /// Higher priority runs first.
    Priority,
    /// Unique keys are enforced.
    Unique,
    /// A known id is recognised at enqueue.
    KnownId,
    /// A late settlement of a presumed-dead worker is refused by the broker itself.
    Fencing,
    /// Claims and the ledger are one table; a handler's transaction can complete the job.
    Ledger,
    /// A waiting job can be cancelled before it is delivered.
    Cancel,
    /// A delivery is extended by heartbeat; else it is held by the connection.
    Lease,
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// The set of these capabilities.
    pub const fn of(list: &[Capability]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < list.len() {
            bits |= 1 << list[i] as u32;
            i += 1;
        }
        Self(bits)
    }

    /// Whether the broker can do it.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }
}

/// What a broker answered, phrased as what to do next.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// This broker cannot do that, ever.
    #[error("the {broker} broker cannot do {capability:?}: {remedy}")]
    Unsupported {
        /// Which broker.
        broker: &'static str,
        /// What was asked for.
        capability: Capability,
        /// What to do instead.
        remedy: &'static str,
    },
    /// The server is away; nothing was accepted. Try again.
    #[error("the {broker} broker cannot be reached: {problem}")]
    Unavailable {
        /// Which broker.
        broker: &'static str,
        /// What happened; no credentials.
        problem: String,
    },
    /// No answer in time: it may have been accepted. Look it up or repeat with the same id.
    #[error("the {broker} broker gave no answer, the outcome is unknown: {problem}")]
    Unknown {
        /// Which broker.
        broker: &'static str,
        /// What happened.
        problem: String,
    },
    /// The server refused and will refuse again: a missing queue, other arguments, no permission, an unsafe setting.
    #[error("the {broker} broker refused: {problem}")]
    Rejected {
        /// Which broker.
        broker: &'static str,
        /// What the server said and what to do.
        problem: String,
    },
    /// The server refuses this program whatever it asks: a right, a password, a schema of another version. A person must
    /// act; no job is to blame, and none may be settled because of it.
    #[error("the {broker} broker cannot be used: {problem}")]
    Unusable {
        /// Which broker.
        broker: &'static str,
        /// What the server said and what to do.
        problem: String,
    },
    /// This broker or consumer was closed.
    #[error("the broker connection was closed")]
    Closed,
}

impl BrokerError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. } | Self::Closed)
    }

    /// Whether the broker is to blame and not what was asked of it: work waits then, and no attempt counts.
    pub fn is_outage(&self) -> bool {
        self.is_transient() || matches!(self, Self::Unusable { .. })
    }

    /// What a store answered, as the answer of the broker whose queue it is.
    pub fn of_store(broker: &'static str, error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(problem) => Self::Unavailable { broker, problem },
            StoreError::Unusable(problem) | StoreError::Schema(problem) => Self::Unusable { broker, problem },
            other => Self::Rejected { broker, problem: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_sets_hold_exactly_what_they_were_made_of() {
        let set = Capabilities::of(&[Capability::Delay, Capability::Lease]);
        assert!(set.has(Capability::Delay) && set.has(Capability::Lease));
        assert!(!set.has(Capability::Priority) && !set.has(Capability::Fencing));
    }
}
