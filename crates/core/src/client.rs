//! Gives jobs to Backshift. One way in for the library, the command line and the HTTP API.
//!
//! A job for a foreign broker passes the store first when it needs what a broker cannot promise: a chosen id,
//! an idempotency or unique key, or a far time. Everything else goes straight to the broker.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    Accepted, Broker, BrokerError, Capability, Clock, DynEnqueueMiddleware, Endings, Ends, EnqueueMiddleware,
    EnqueueOptions, Envelope, InvalidName, Job, JobId, JobRecord, Kind, NextEnqueue, QueueName, Store,
    StoreError, SystemClock,
    middleware::{Boxed, Taker},
};

/// What a job's priority may be.
pub const PRIORITIES: std::ops::RangeInclusive<i16> = -100..=100;
/// The largest payload that is accepted from our own producers, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;

/// Enqueues jobs, and waits for their ends. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    broker: Arc<dyn Broker>,
    store: Option<Arc<dyn Store>>,
    chain: Arc<[Arc<dyn DynEnqueueMiddleware>]>,
    clock: Arc<dyn Clock>,
    /// Queues that this client has made sure of: a message to a missing queue would be refused.
    declared: Arc<Mutex<HashSet<QueueName>>>,
    endings: Endings,
}

/// Why a job was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The broker's answer.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name breaks the rules.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A number or size is out of range; the text names it and the range.
    #[error("{0}")]
    Invalid(String),
}

impl EnqueueError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_transient(),
            Self::Store(error) => error.is_transient(),
            Self::Name(_) | Self::Invalid(_) => false,
        }
    }

    /// Whether a server is to blame and not the job.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_outage(),
            Self::Store(error) => error.is_outage(),
            Self::Name(_) | Self::Invalid(_) => false,
        }
    }
}

impl Client {
    /// A client of this broker, with the store's promises when there is one.
    pub fn new(broker: Arc<dyn Broker>, store: Option<Arc<dyn Store>>) -> Self {
        let (chain, clock) = (Arc::new([]), Arc::new(SystemClock));
        Self { broker, store, chain, clock, declared: Arc::default(), endings: Endings::default() }
    }

    /// Hears of ends where the workers of this process tell them.
    #[must_use]
    pub fn with_endings(mut self, endings: Endings) -> Self {
        self.endings = endings;
        self
    }

    /// With another clock, so that tests and the simulation own time.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With this middleware around every enqueue, inside of those that are there already.
    #[must_use]
    pub fn with_middleware(mut self, middleware: impl EnqueueMiddleware) -> Self {
        let fresh: Arc<dyn DynEnqueueMiddleware> = Arc::new(middleware);
        self.chain = self.chain.iter().cloned().chain([fresh]).collect();
        self
    }

    /// Enqueues a job with its kind's defaults.
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<JobId, EnqueueError> {
        Ok(self.enqueue_with(job, EnqueueOptions::default()).await?.id())
    }

    /// Enqueues a job and says what became of it.
    pub async fn enqueue_with<J: Job>(
        &self,
        job: &J,
        options: EnqueueOptions,
    ) -> Result<Accepted, EnqueueError> {
        self.enqueue_raw(self.envelope_of(job, options)?).await
    }

    /// The envelope of a typed job with these options, made now.
    pub fn envelope_of<J: Job>(&self, job: &J, options: EnqueueOptions) -> Result<Envelope, EnqueueError> {
        let payload = serde_json::to_vec(job)
            .map_err(|error| EnqueueError::Invalid(format!("the job cannot be written as JSON: {error}")))?;
        let queue = QueueName::new(J::QUEUE)?;
        Ok(self.envelope(Kind::new(J::KIND)?, queue, payload, options))
    }

    /// Waits until the job is over, wherever it runs, and returns it as it ended: completed, dead or cancelled. There is no
    /// time limit but the caller's (`tokio::time::timeout`).
    ///
    /// # Errors
    /// `NotFound` for a job that the store does not know; on a foreign broker one that nobody has claimed yet is waited for.
    /// `Rejected` without a store. A store that is away is waited for.
    pub async fn wait(&self, id: JobId) -> Result<JobRecord, StoreError> {
        let Some(store) = &self.store else {
            let text = "waiting for a job needs a store: without one nobody remembers how it ended";
            return Err(StoreError::Rejected(text.into()));
        };
        let known = self.broker.capabilities().has(Capability::Ledger);
        loop {
            match store.find(id).await {
                Ok(Some(record)) if record.state.is_final() => return Ok(record),
                Ok(None) if known => return Err(StoreError::NotFound(format!("job {id}"))),
                Err(error) if !error.is_transient() => return Err(error),
                _ => self.endings.wait(store, id).await?,
            }
        }
    }

    /// Hears the ends of jobs that workers of this process run, from now on.
    pub fn ends(&self) -> Ends {
        self.endings.subscribe()
    }

    /// Where the workers of this process have to tell their ends, so that this client hears them.
    pub fn endings(&self) -> &Endings {
        &self.endings
    }

    /// What moves the jobs.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// What remembers them, if anything does.
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.store.as_ref()
    }

    /// The clock that delays are counted from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// An envelope with these options, made now.
    pub fn envelope(
        &self,
        kind: Kind,
        queue: QueueName,
        payload: impl Into<crate::Bytes>,
        options: EnqueueOptions,
    ) -> Envelope {
        let now = self.clock.now();
        let mut envelope = Envelope::new(kind, options.queue.unwrap_or(queue), payload, now);
        envelope.id = options.id.unwrap_or(envelope.id);
        // A delay beyond the calendar ends with it.
        let delayed = options.delay.map(|delay| now.checked_add(delay).unwrap_or(Timestamp::MAX));
        envelope.run_at = options.run_at.max(delayed);
        envelope.priority = options.priority;
        envelope.max_attempts = options.max_attempts;
        envelope.unique = options.unique;
        // A chosen id promises that a repeat adds nothing; on a foreign broker only the store can keep that.
        envelope.idempotency_key = options.idempotency_key.or(options.id.map(|id| id.to_string()));
        envelope.user_id = options.user_id;
        envelope.headers = options.headers;
        envelope
    }

    /// Enqueues one envelope through the middleware.
    pub async fn enqueue_raw(&self, envelope: Envelope) -> Result<Accepted, EnqueueError> {
        self.enqueue_through(envelope, self).await
    }

    /// Enqueues one envelope through the middleware into another place than the broker: a transaction.
    pub async fn enqueue_through(
        &self,
        envelope: Envelope,
        taker: &dyn Taker,
    ) -> Result<Accepted, EnqueueError> {
        self.check(&envelope)?;
        NextEnqueue::new(&self.chain, taker).run(envelope).await
    }

    /// Enqueues many envelopes; one answer each, in order. With middleware they pass it one by one.
    pub async fn enqueue_many(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, EnqueueError>> {
        if self.chain.is_empty() {
            return self.checked(batch).await;
        }
        let mut answers = Vec::with_capacity(batch.len());
        for envelope in batch {
            answers.push(self.enqueue_raw(envelope).await);
        }
        answers
    }

    async fn checked(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, EnqueueError>> {
        let verdicts: Vec<_> = batch.iter().map(|envelope| self.check(envelope)).collect();
        let legal = batch.into_iter().zip(&verdicts).filter(|(_, v)| v.is_ok()).map(|(e, _)| e).collect();
        let mut answers = self.hand_over(legal).await.into_iter();
        let merge = |verdict: Result<(), EnqueueError>| match verdict {
            Ok(()) => answers.next().unwrap_or(Err(EnqueueError::Broker(BrokerError::Closed))),
            Err(error) => Err(error),
        };
        verdicts.into_iter().map(merge).collect()
    }

    /// Refuses what no broker or store may see, and what this broker cannot do and the store cannot do for it.
    pub fn check(&self, envelope: &Envelope) -> Result<(), EnqueueError> {
        check(envelope)?;
        if envelope.priority != 0 && !self.broker.capabilities().has(Capability::Priority) {
            return Err(EnqueueError::Broker(BrokerError::Unsupported {
                broker: self.broker.name(),
                capability: Capability::Priority,
                remedy: "use a queue of its own for urgent jobs, or the postgres or embedded broker",
            }));
        }
        Ok(())
    }

    async fn hand_over(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, EnqueueError>> {
        if batch.is_empty() {
            return Vec::new();
        }
        match &self.store {
            Some(store) if !self.broker.capabilities().has(Capability::Ledger) => {
                self.through_store(store, batch).await
            }
            _ => self.publish(batch).await.into_iter().map(|r| r.map_err(Into::into)).collect(),
        }
    }

    /// Publishes to queues that exist: each is declared once, and again after a publish to it was refused.
    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        let queues: Vec<QueueName> = batch.iter().map(|envelope| envelope.queue.clone()).collect();
        let refused = self.declare(&queues).await;
        let wanted: Vec<bool> = queues.iter().map(|queue| !refused.contains_key(queue)).collect();
        let batch = batch.into_iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(one, _)| one);
        let mut published = self.broker.publish(batch.collect()).await.into_iter();
        let answer = |queue: &QueueName| match refused.get(queue) {
            Some(problem) => Err(problem.error()),
            None => published.next().unwrap_or(Err(BrokerError::Closed)),
        };
        let answers: Vec<_> = queues.iter().map(answer).collect();
        for (queue, answer) in queues.iter().zip(&answers) {
            if matches!(answer, Err(BrokerError::Rejected { .. })) {
                self.known().remove(queue);
            }
        }
        answers
    }

    /// Makes sure of these queues; returns those that the broker refuses for good: no worker would work them either.
    async fn declare(&self, queues: &[QueueName]) -> BTreeMap<QueueName, Refused> {
        let fresh: BTreeSet<QueueName> = {
            let known = self.known();
            queues.iter().filter(|queue| !known.contains(*queue)).cloned().collect()
        };
        let mut refused = BTreeMap::new();
        for queue in fresh {
            match self.broker.declare(&queue).await {
                Ok(()) => drop(self.known().insert(queue)),
                Err(BrokerError::Rejected { broker, problem }) => {
                    refused.insert(queue, Refused { broker, problem });
                }
                // Publishing says what is the matter.
                Err(_) => {}
            }
        }
        refused
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<QueueName>> {
        self.declared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Splits a batch for a foreign broker: what needs the store is accepted there first.
    async fn through_store(
        &self,
        store: &Arc<dyn Store>,
        batch: Vec<Envelope>,
    ) -> Vec<Result<Accepted, EnqueueError>> {
        let needs: Vec<bool> = batch.iter().map(needs_store).collect();
        let (stored, direct): (Vec<_>, Vec<_>) =
            batch.into_iter().zip(&needs).partition(|(_, needs)| **needs);
        let direct: Vec<Envelope> = direct.into_iter().map(|(e, _)| e).collect();
        let stored: Vec<Envelope> = stored.into_iter().map(|(e, _)| e).collect();
        let mut direct = match direct.is_empty() {
            true => Vec::new(),
            false => self.publish(direct).await,
        }
        .into_iter();
        let mut stored = self.accept_and_publish(store, stored).await.into_iter();
        let closed = || Err(EnqueueError::Broker(BrokerError::Closed));
        let merge = |needs: bool| match needs {
            true => stored.next().unwrap_or_else(closed),
            false => direct.next().map_or_else(closed, |r| r.map_err(Into::into)),
        };
        needs.into_iter().map(merge).collect()
    }

    async fn accept_and_publish(
        &self,
        store: &Arc<dyn Store>,
        batch: Vec<Envelope>,
    ) -> Vec<Result<Accepted, EnqueueError>> {
        if batch.is_empty() {
            return Vec::new();
        }
        // What waits for its time is published by a relay: its queue must be there by then.
        let queues: Vec<QueueName> = batch.iter().map(|envelope| envelope.queue.clone()).collect();
        let refused = self.declare(&queues).await;
        if refused.is_empty() {
            return self.accept_all(store, batch).await;
        }
        let mut good = batch;
        good.retain(|envelope| !refused.contains_key(&envelope.queue));
        let mut accepted = match good.is_empty() {
            true => Vec::new(),
            false => self.accept_all(store, good).await,
        }
        .into_iter();
        let answer = |queue: &QueueName| match refused.get(queue) {
            Some(problem) => Err(problem.error().into()),
            None => accepted.next().unwrap_or(Err(EnqueueError::Broker(BrokerError::Closed))),
        };
        queues.iter().map(answer).collect()
    }

    async fn accept_all(
        &self,
        store: &Arc<dyn Store>,
        batch: Vec<Envelope>,
    ) -> Vec<Result<Accepted, EnqueueError>> {
        let accepted = match store.accept(self.broker.name(), batch.clone()).await {
            Ok(accepted) => accepted,
            Err(error) => {
                return batch.iter().map(|_| Err(error.clone().into())).collect();
            }
        };
        let now = self.clock.now();
        let due = |e: &Envelope| e.run_at.is_none_or(|at| at <= now);
        let fresh = batch.into_iter().zip(&accepted).filter(|(e, a)| matches!(a, Accepted::New(_)) && due(e));
        let fresh: Vec<Envelope> = fresh.map(|(e, _)| e.for_broker()).collect();
        if !fresh.is_empty() {
            let confirmed: Vec<JobId> =
                self.publish(fresh).await.into_iter().flatten().map(|a| a.id()).collect();
            // What could not be published now or marked is durable in the store: the relay delivers it.
            if let Err(error) = store.mark_published(&confirmed).await {
                tracing::warn!(%error, "published jobs stay marked as unpublished; the relay repeats them");
            }
        }
        accepted.into_iter().map(Ok).collect()
    }
}

/// Whether a payload of so many bytes is accepted: for those who would have to make it first.
///
/// # Errors
/// [`EnqueueError::Invalid`] with both numbers.
pub fn check_size(size: usize) -> Result<(), EnqueueError> {
    match size <= MAX_PAYLOAD_BYTES {
        true => Ok(()),
        false => Err(EnqueueError::Invalid(format!(
            "the payload has {size} bytes, {MAX_PAYLOAD_BYTES} are allowed: put large data elsewhere and its id here"
        ))),
    }
}

/// The end of the chain: to the broker, or to the store first.
impl Taker for Client {
    fn take(&self, envelope: Envelope) -> Boxed<'_, Result<Accepted, EnqueueError>> {
        Box::pin(async move {
            let mut answers = self.hand_over(vec![envelope]).await;
            answers.pop().unwrap_or(Err(EnqueueError::Broker(BrokerError::Closed)))
        })
    }
}

/// Why a queue cannot be declared.
struct Refused {
    broker: &'static str,
    problem: String,
}

impl Refused {
    fn error(&self) -> BrokerError {
        BrokerError::Rejected { broker: self.broker, problem: self.problem.clone() }
    }
}

fn needs_store(envelope: &Envelope) -> bool {
    envelope.unique.is_some() || envelope.idempotency_key.is_some() || envelope.run_at.is_some()
}

fn check(envelope: &Envelope) -> Result<(), EnqueueError> {
    check_size(envelope.payload.len())?;
    if !PRIORITIES.contains(&envelope.priority) {
        return Err(EnqueueError::Invalid(format!(
            "priority {} is not in {PRIORITIES:?}",
            envelope.priority
        )));
    }
    if envelope.max_attempts == Some(0) {
        return Err(EnqueueError::Invalid("max_attempts 0 would never run: use 1 or more".into()));
    }
    for key in
        [envelope.unique.as_ref().map(|u| &u.key), envelope.idempotency_key.as_ref()].into_iter().flatten()
    {
        if key.is_empty() || key.len() > 255 || key.contains('\0') {
            return Err(EnqueueError::Invalid(format!("key {key:?} must have 1 to 255 bytes and no NUL")));
        }
    }
    Ok(())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("broker", &self.broker.name()).finish_non_exhaustive()
    }
}
