//! A foreign broker in memory: at-least-once, unordered after redelivery, delays held by itself.
//!
//! It keeps what was handed out until it is settled; [`MemoryBroker::cut`] models a lost connection: everything
//! unsettled is redelivered, and the old receipts answer *closed*.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Bytes, Capabilities, Capability, Clock, ConsumeOptions, Consumer,
    DeadLetter, Envelope, JobId, Malformed, QueueName, Reason,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{Faults, TokioClock, consumer::MemoryConsumer};

/// A message in the dead-letter place.
#[derive(Debug, Clone)]
pub struct DeadMessage {
    /// The job, or the bytes that were none.
    pub job: Result<Envelope, Malformed>,
    /// Why it is there.
    pub letter: DeadLetter,
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) job: Result<Envelope, Malformed>,
    pub(super) redelivered: bool,
    pub(super) anonymous: bool,
}

impl Message {
    pub(super) fn id(&self) -> Option<JobId> {
        self.job.as_ref().ok().map(|job| job.id)
    }
}

#[derive(Default)]
pub(super) struct Line {
    pub(super) ready: VecDeque<Message>,
    pub(super) delayed: BTreeMap<(Instant, u64), Message>,
    pub(super) unsettled: BTreeMap<u64, Message>,
    pub(super) dead: Vec<DeadMessage>,
}

#[derive(Default)]
pub(super) struct Lines {
    pub(super) by_queue: BTreeMap<QueueName, Line>,
    /// Jobs that were ever handed out a second time.
    pub(super) again: BTreeSet<JobId>,
    tags: u64,
}

impl Lines {
    pub(super) fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }

    pub(super) fn line(&mut self, queue: &QueueName) -> &mut Line {
        self.by_queue.entry(queue.clone()).or_default()
    }
}

pub(super) struct Inner {
    lines: Mutex<Lines>,
    pub(super) arrived: Notify,
    /// Copies are refused at present, and so many deliveries wait for theirs.
    refusal: watch::Sender<bool>,
    pub(super) waiting: AtomicUsize,
    pub(super) clock: TokioClock,
}

impl Inner {
    fn new(clock: TokioClock) -> Arc<Self> {
        let (lines, arrived) = (Mutex::default(), Notify::new());
        let (refusal, waiting) = (watch::Sender::new(false), AtomicUsize::new(0));
        Arc::new(Self { lines, arrived, refusal, waiting, clock })
    }

    /// Waits until copies are taken; the delivery stays with its holder meanwhile.
    pub(super) async fn copies(&self, queue: &QueueName, tag: u64) -> Result<(), BrokerError> {
        let mut refusal = self.refusal.subscribe();
        if !*refusal.borrow_and_update() {
            return Ok(());
        }
        let _waits = Waits::begin(&self.waiting);
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if self.is_cut(queue, tag) {
                return Err(BrokerError::Closed);
            }
            tokio::select! {
                biased;
                taken = refusal.wait_for(|refused| !*refused) => return taken.map(drop).map_err(|_| BrokerError::Closed),
                () = arrived => {}
            }
        }
    }

    /// Whether the delivery is nobody's any more.
    pub(super) fn is_cut(&self, queue: &QueueName, tag: u64) -> bool {
        !self.lines().line(queue).unsettled.contains_key(&tag)
    }

    pub(super) fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, message: Message, queue: &QueueName, due: Option<Instant>) {
        {
            let mut lines = self.lines();
            let tag = lines.tag();
            let line = lines.line(queue);
            match due.filter(|at| *at > Instant::now()) {
                Some(at) => drop(line.delayed.insert((at, tag), message)),
                None => line.ready.push_back(message),
            }
        }
        self.arrived.notify_waiters();
    }
}

/// One more delivery waits for its copy, until this is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A foreign broker in memory. Cheap to clone; clones are the same broker.
#[derive(Clone)]
pub struct MemoryBroker {
    pub(super) inner: Arc<Inner>,
    faults: Faults,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBroker {
    /// An empty broker. Make it inside a runtime, so that it sees that runtime's clock.
    pub fn new() -> Self {
        Self { inner: Inner::new(TokioClock::default()), faults: Faults::default() }
    }

    /// With a clock that other models share.
    #[must_use]
    pub fn with_clock(self, clock: TokioClock) -> Self {
        Self { inner: Inner::new(clock), ..self }
    }

    /// The same broker through another line: its calls go wrong by these faults and not by this handle's.
    #[must_use]
    pub fn through(&self, faults: Faults) -> Self {
        Self { inner: Arc::clone(&self.inner), faults }
    }

    /// What goes wrong from now on. Calls: `broker.publish`, `.consume`, `.next`, `.ack`, `.retry`,
    /// `.dead_letter`, `.extend`, `.depth`, `.ping`.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Puts bytes into the queue that are no job.
    pub fn put_malformed(&self, queue: &QueueName, raw: impl Into<Bytes>, problem: &str) {
        let (reason, source) = (Reason::Malformed, queue.to_string());
        let job = Err(Malformed { raw: raw.into(), reason, problem: problem.into(), source });
        self.inner.put(Message { job, redelivered: false, anonymous: false }, queue, None);
    }

    /// Puts a message without an id into the queue: the envelope's id stands for the delivery only.
    pub fn put_anonymous(&self, envelope: Envelope) {
        let queue = envelope.queue.clone();
        self.inner.put(Message { job: Ok(envelope), redelivered: false, anonymous: true }, &queue, None);
    }

    /// Takes no copies of retries and dead letters from now on, or takes them again.
    pub fn refuse_copies(&self, refused: bool) {
        self.inner.refusal.send_replace(refused);
    }

    /// Loses every connection: what is unsettled is redelivered, old receipts answer *closed*.
    pub fn cut(&self) {
        let mut lines = self.inner.lines();
        let Lines { by_queue, again, .. } = &mut *lines;
        for line in by_queue.values_mut() {
            let lost: Vec<_> = std::mem::take(&mut line.unsettled).into_values().collect();
            again.extend(lost.iter().filter_map(Message::id));
            line.ready.extend(lost.into_iter().map(|message| Message { redelivered: true, ..message }));
        }
        drop(lines);
        self.inner.arrived.notify_waiters();
    }

    /// Whether a delivery of the job was ever lost, so that the next one says *redelivered*.
    pub fn was_redelivered(&self, id: JobId) -> bool {
        self.inner.lines().again.contains(&id)
    }

    /// Puts a second copy of the `nth` message that waits, is delayed or is handed out into the queue, as brokers
    /// and producers do after a lost answer; `None` = the queue holds nothing.
    pub fn duplicate(&self, queue: &QueueName, nth: usize) -> Option<JobId> {
        let message = {
            let mut lines = self.inner.lines();
            let line = lines.line(queue);
            let all = || line.ready.iter().chain(line.delayed.values()).chain(line.unsettled.values());
            let message = all().nth(nth % all().count().max(1))?.clone();
            Message { redelivered: false, ..message }
        };
        let id = message.id();
        self.inner.put(message, queue, None);
        id
    }

    /// Reverses the order of what waits.
    pub fn reverse(&self, queue: &QueueName) {
        self.inner.lines().line(queue).ready.make_contiguous().reverse();
    }

    /// What lies in the dead-letter place of the queue.
    pub fn dead(&self, queue: &QueueName) -> Vec<DeadMessage> {
        self.inner.lines().line(queue).dead.clone()
    }

    /// How many deliveries of the queue are handed out and not settled.
    pub fn unsettled(&self, queue: &QueueName) -> usize {
        self.inner.lines().line(queue).unsettled.len()
    }

    /// Whether nothing waits, is delayed or is unsettled in the queue.
    pub fn is_empty(&self, queue: &QueueName) -> bool {
        let mut lines = self.inner.lines();
        let line = lines.line(queue);
        line.ready.is_empty() && line.delayed.is_empty() && line.unsettled.is_empty()
    }

    fn due(&self, envelope: &Envelope) -> Option<Instant> {
        let wait = envelope.run_at?.duration_since(self.inner.clock.now());
        Some(Instant::now() + std::time::Duration::try_from(wait).ok()?)
    }
}

pub(super) fn away(call: &'static str) -> BrokerError {
    BrokerError::Unavailable { broker: "memory", problem: format!("planned fault at {call}") }
}

pub(super) fn unknown(call: &'static str) -> BrokerError {
    BrokerError::Unknown { broker: "memory", problem: format!("planned loss of the answer to {call}") }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Delay])
    }

    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.inner.lines().line(queue);
        Ok(())
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        let struck = match self.faults.strike("broker.publish").await {
            Ok(struck) => struck,
            Err(call) => return batch.iter().map(|_| Err(away(call))).collect(),
        };
        let accept = |envelope: Envelope| {
            let (id, queue, due) = (envelope.id, envelope.queue.clone(), self.due(&envelope));
            self.inner.put(Message { job: Ok(envelope), redelivered: false, anonymous: false }, &queue, due);
            id
        };
        let ids: Vec<JobId> = batch.into_iter().map(accept).collect();
        let lost = struck.answered().await;
        let answer = |id| if lost { Err(unknown("broker.publish")) } else { Ok(Accepted::New(id)) };
        ids.into_iter().map(answer).collect()
    }

    async fn consume(
        &self,
        queue: &QueueName,
        _options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.faults.strike("broker.consume").await.map_err(away)?;
        self.inner.lines().line(queue);
        Ok(Box::new(MemoryConsumer::new(Arc::clone(&self.inner), self.faults.clone(), queue.clone())))
    }

    /// With a store, jobs for later pass its outbox, and the relay looks twice a second.
    fn lateness(&self, _delay: std::time::Duration) -> std::time::Duration {
        std::time::Duration::from_millis(750)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.faults.strike("broker.depth").await.map_err(away)?;
        Ok(self.inner.lines().line(queue).ready.len() as u64)
    }

    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.inner.lines().by_queue.remove(queue);
        Ok(())
    }

    fn trouble(&self, _queue: &QueueName) -> Option<String> {
        let waiting = self.inner.waiting.load(Ordering::SeqCst);
        (waiting > 0).then(|| format!("{waiting} deliveries wait because copies are refused"))
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.faults.strike("broker.ping").await.map(drop).map_err(away)
    }

    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}
