//! A small world for scenarios: both brokers' models, a store, and workers that can be stopped or killed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift_core::{
    Backoff, Broker, Envelope, JobContext, JobId, JobOptions, JobRecord, JobResult, Kind, QueueName,
    Registry, State, WorkerName, store::Jobs,
};
use backshift_runtime::{Drained, Readiness, RunError, Shutdown, Worker, WorkerBuilder, WorkerOptions};
use backshift_testkit::memory::{MemoryBroker, MemoryStore, TokioClock};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The servers of a scenario.
pub(crate) struct World {
    pub(crate) broker: MemoryBroker,
    pub(crate) store: MemoryStore,
    pub(crate) clock: TokioClock,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = TokioClock::default();
        Self { broker: MemoryBroker::new().with_clock(clock), store: MemoryStore::with_clock(clock), clock }
    }

    /// A worker of the foreign broker with the store.
    pub(crate) fn foreign(&self, name: &str) -> WorkerBuilder {
        self.bare(name).broker(Arc::new(self.broker.clone())).store(Arc::new(self.store.clone()))
    }

    /// A worker of the broker that shares the store's table.
    pub(crate) fn ledger(&self, name: &str) -> WorkerBuilder {
        self.bare(name).broker(Arc::new(self.store.broker())).store(Arc::new(self.store.clone()))
    }

    /// A worker that still needs a broker.
    pub(crate) fn bare(&self, name: &str) -> WorkerBuilder {
        Worker::builder().name(WorkerName::new(name).unwrap()).clock(Arc::new(self.clock)).options(options())
    }

    pub(crate) fn envelope(&self, kind: &str) -> Envelope {
        let clock: &dyn backshift_core::Clock = &self.clock;
        Envelope::new(Kind::new(kind).unwrap(), queue(), "{}", clock.now())
    }

    /// Publishes a job of this kind on the foreign broker.
    pub(crate) async fn publish(&self, kind: &str) -> JobId {
        publish(&self.broker, self.envelope(kind)).await
    }

    pub(crate) async fn row(&self, id: JobId) -> JobRecord {
        self.store.find(id).await.unwrap().expect("the job has a row")
    }

    /// Waits until the job is in this state.
    pub(crate) async fn until_state(&self, id: JobId, state: State) -> JobRecord {
        until("the state", async || matches!(self.store.find(id).await, Ok(Some(row)) if row.state == state))
            .await;
        self.row(id).await
    }

    /// How the starts of a job ended.
    pub(crate) async fn outcomes(&self, id: JobId) -> Vec<String> {
        let attempts = self.store.attempts(id).await.unwrap();
        attempts.into_iter().map(|attempt| attempt.outcome.unwrap_or_else(|| "running".into())).collect()
    }
}

pub(crate) async fn publish(broker: &dyn Broker, envelope: Envelope) -> JobId {
    let id = envelope.id;
    broker.publish(vec![envelope]).await.remove(0).unwrap();
    id
}

pub(crate) fn queue() -> QueueName {
    QueueName::new("work").unwrap()
}

/// Short back-off, a fixed seed, and everything else as by default.
pub(crate) fn options() -> WorkerOptions {
    WorkerOptions {
        lease: LEASE,
        backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) },
        seed: Some(7),
        ..WorkerOptions::default()
    }
}

pub(crate) fn limits(max_attempts: u32, timeout: Duration) -> JobOptions {
    JobOptions { max_attempts: Some(max_attempts), timeout: Some(timeout), ..JobOptions::default() }
}

/// A registry with one handler of raw jobs.
pub(crate) fn handler<F, R>(kind: &str, options: JobOptions, work: F) -> Registry
where
    F: Fn(JobContext) -> R + Send + Sync + 'static,
    R: Future<Output = JobResult> + Send + 'static,
{
    Registry::default().with_raw(&Kind::new(kind).unwrap(), options, work)
}

/// A worker that runs.
pub(crate) struct Live {
    pub(crate) shutdown: Shutdown,
    pub(crate) readiness: Readiness,
    task: JoinHandle<Result<Drained, RunError>>,
}

impl Live {
    pub(crate) fn start(builder: WorkerBuilder) -> Self {
        let worker = builder.build().unwrap();
        let (shutdown, readiness) = (Shutdown::new(), worker.readiness());
        let task = tokio::spawn(worker.run(shutdown.clone()));
        Self { shutdown, readiness, task }
    }

    /// Stops gently and waits for the end.
    pub(crate) async fn stop(self) -> Drained {
        self.shutdown.quiet();
        self.end().await.unwrap()
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Result<Drained, RunError> {
        self.task.await.unwrap()
    }

    /// As `kill -9`: no word to anybody.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits, in the tests' own time, until the condition holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(24 * 3600);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what} did not come within a day");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What handlers noted, in order.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
