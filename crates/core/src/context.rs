//! What a handler knows about the attempt that it runs, and what it may tell while it runs.
//!
//! Progress and output are handed to the engine at once but written with its next batch, never one by one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    Envelope, Headers, Job, JobId, Kind, Lease, QueueName, Store, Timestamp, WorkerName,
    settle::MAX_OUTPUT_BYTES,
};

/// One attempt, seen from inside the handler. Cheap to clone.
///
/// ```
/// # use backshift_core as backshift;
/// # use backshift::{Job, JobContext, JobResult};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Export { rows: u32 }
/// # impl Job for Export { const KIND: &'static str = "export"; }
/// async fn export(job: Export, context: JobContext) -> JobResult {
///     for row in 0..job.rows {
///         if context.is_cancelled() {
///             break; // a person, the time-out or a shutdown asked; the engine knows what that means
///         }
///         context.progress((row * 100 / job.rows) as u8, format!("row {row}"));
///     }
///     context.output(format!("{} rows, request {}", job.rows, context.id()));
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let job = Export { rows: 4 };
/// let context = JobContext::for_test(&job);
/// export(job, context.clone()).await.unwrap();
/// assert_eq!(context.said().progress, Some((75, "row 3".into())));
/// # }
/// ```
#[derive(Clone)]
pub struct JobContext {
    inner: Arc<Inner>,
}

struct Inner {
    envelope: Envelope,
    lease: Option<Lease>,
    starts: u32,
    worker: WorkerName,
    cancel: CancellationToken,
    store: Option<Arc<dyn Store>>,
    said: Mutex<Said>,
}

/// What the handler said about its attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// Per cent and a word, if the handler reported progress.
    pub progress: Option<(u8, String)>,
    /// The output to keep.
    pub output: Option<Bytes>,
    /// A word about the outcome that is not an error.
    pub note: Option<String>,
    /// The handler completed the job inside its own transaction.
    pub finished_in_transaction: bool,
}

impl JobContext {
    /// Made by the engine for each attempt, and by tests of handlers.
    pub fn new(envelope: Envelope, worker: WorkerName, cancel: CancellationToken) -> Self {
        let inner =
            Inner { envelope, lease: None, starts: 1, worker, cancel, store: None, said: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The context of a first attempt at this job, for a test of its handler: no worker, no store, nothing asks it to stop.
    /// What the handler says is read with [`Self::said`].
    ///
    /// # Panics
    /// When the job cannot be written as JSON or its kind, queue or worker has no legal name, so that the test fails.
    pub fn for_test<J: Job>(job: &J) -> Self {
        let legal = |what: &str, problem: &dyn fmt::Display| -> ! { panic!("{what}: {problem}") };
        let kind = Kind::new(J::KIND).unwrap_or_else(|error| legal("the job's KIND", &error));
        let queue = QueueName::new(J::QUEUE).unwrap_or_else(|error| legal("the job's QUEUE", &error));
        let payload = serde_json::to_vec(job).unwrap_or_else(|error| legal("the job as JSON", &error));
        let worker = WorkerName::new("test").unwrap_or_else(|error| legal("the worker", &error));
        Self::new(Envelope::new(kind, queue, payload, Timestamp::now()), worker, CancellationToken::new())
    }

    /// The same for another attempt than the first; before the handler has it.
    #[must_use]
    pub fn on_attempt(self, attempt: u32) -> Self {
        let envelope = Envelope { attempt, ..self.inner.envelope.clone() };
        Self::new(envelope, self.inner.worker.clone(), self.inner.cancel.clone())
    }

    /// Asks the attempt to stop, as a time-out, a cancellation or a shutdown does.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }

    /// With the ledger's lease, the number of starts so far (this one included), and the store.
    #[must_use]
    pub fn with_ledger(self, lease: Lease, starts: u32, store: Arc<dyn Store>) -> Self {
        let Inner { envelope, worker, cancel, .. } = match Arc::try_unwrap(self.inner) {
            Ok(inner) => inner,
            Err(shared) => Inner {
                envelope: shared.envelope.clone(),
                lease: None,
                starts: 1,
                worker: shared.worker.clone(),
                cancel: shared.cancel.clone(),
                store: None,
                said: Mutex::default(),
            },
        };
        let inner = Inner {
            envelope,
            lease: Some(lease),
            starts,
            worker,
            cancel,
            store: Some(store),
            said: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The job as it was delivered.
    pub fn envelope(&self) -> &Envelope {
        &self.inner.envelope
    }

    /// The job's id: use it as the idempotency key towards outside systems.
    pub fn id(&self) -> JobId {
        self.inner.envelope.id
    }

    /// The job's kind.
    pub fn kind(&self) -> &Kind {
        &self.inner.envelope.kind
    }

    /// The queue that it came from.
    pub fn queue(&self) -> &QueueName {
        &self.inner.envelope.queue
    }

    /// 1 + counted failures.
    pub fn attempt(&self) -> u32 {
        self.inner.envelope.attempt
    }

    /// How often the job was started, this time included; also counts what is not an attempt. 1 without a store.
    pub fn starts(&self) -> u32 {
        self.inner.starts
    }

    /// Trace context and other text.
    pub fn headers(&self) -> &Headers {
        &self.inner.envelope.headers
    }

    /// The right to finish this attempt: pass it to `finish_in`. `None` without a store.
    pub fn lease(&self) -> Option<Lease> {
        self.inner.lease
    }

    /// The store, if the pool has one.
    pub fn store(&self) -> Option<&Arc<dyn Store>> {
        self.inner.store.as_ref()
    }

    /// The process that runs this attempt.
    pub fn worker(&self) -> &WorkerName {
        &self.inner.worker
    }

    /// Ends when the attempt should stop: time-out, cancellation, shutdown, lost lease.
    pub async fn cancelled(&self) {
        self.inner.cancel.cancelled().await;
    }

    /// Whether the attempt should stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancel.is_cancelled()
    }

    /// Sleeps unless the attempt is told to stop first; says whether it slept to the end.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.inner.cancel.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    /// Shows how far the attempt is: per cent (0 to 100; more counts as 100) and a word. It is told with the next heartbeat, a
    /// third of the lease (10 s of the usual 30), so a short attempt shows none.
    pub fn progress(&self, percent: u8, word: impl Into<String>) {
        let word: String = word.into().chars().take(200).collect();
        self.say(|said| said.progress = Some((percent.min(100), word)));
    }

    /// Keeps the output with the job; cut at 64 KiB.
    pub fn output(&self, bytes: impl Into<Bytes>) {
        let bytes: Bytes = bytes.into();
        let kept = bytes.slice(..bytes.len().min(MAX_OUTPUT_BYTES));
        self.say(|said| said.output = Some(kept));
    }

    /// Leaves a word about an outcome that is not an error, such as `suppressed`.
    pub fn note(&self, word: impl Into<String>) {
        let word: String = word.into().chars().take(500).collect();
        self.say(|said| said.note = Some(word));
    }

    /// Called by `finish_in`: the job completes when the handler's own transaction commits.
    pub fn finished_in_transaction(&self) {
        self.say(|said| said.finished_in_transaction = true);
    }

    /// What was said so far.
    pub fn said(&self) -> Said {
        self.inner.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.inner.said.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id())
            .field("kind", self.kind())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
