//! What every engine case begins with: a client, a queue, and workers that can be started and drained.
//!
//! A journal counts what handlers did; it stands for the world that a handler changes.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{
    Backoff, Broker, Client, EnqueueOptions, Envelope, JobContext, JobId, JobOptions, JobRecord, JobResult,
    Kind, Registry, State, Store, WorkerName,
};
use backshift_runtime::{Drained, RunError, Shutdown, Worker, WorkerBuilder, WorkerOptions};
use tokio::task::JoinHandle;

use crate::{
    conformance::{
        case::Failure,
        harness::{EngineHarness, Namespace},
    },
    servers::{unique_name, unique_queue},
    wait::{self, PATIENCE},
};

const GRACE: Duration = Duration::from_secs(2);

/// One case's private world.
pub(in crate::conformance) struct Scene {
    pub(super) namespace: Arc<dyn Namespace>,
    pub(super) store: Arc<dyn Store>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) client: Client,
    pub(super) queue: backshift_core::QueueName,
    pub(super) lease: Duration,
    pub(super) hints: bool,
    /// How long a worker that is drained waits for its handlers.
    grace: Duration,
    pub(super) journal: Journal,
    _guard: Box<dyn Send + Sync>,
}

/// A worker that runs as a task.
pub(super) struct Running {
    shutdown: Shutdown,
    task: JoinHandle<Result<Drained, RunError>>,
}

/// What handlers did, in order.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<(JobId, u32)>>>);

impl Scene {
    /// All times of the case are stretched by as much as the machine is slow.
    pub(in crate::conformance) async fn open(
        harness: Arc<impl EngineHarness>,
        stretch: f64,
    ) -> Result<Self, Failure> {
        let parts = harness.parts().await.map_err(Failure::new)?;
        let broker = parts.namespace.connect().await.map_err(Failure::new)?;
        let queue = unique_queue("q");
        broker.declare(&queue).await?;
        Ok(Self {
            client: Client::new(Arc::clone(&broker), Some(Arc::clone(&parts.store))),
            namespace: parts.namespace,
            store: parts.store,
            broker,
            queue,
            lease: harness.lease().mul_f64(stretch),
            hints: harness.hints(),
            grace: GRACE.mul_f64(stretch),
            journal: Journal::default(),
            _guard: parts.guard,
        })
    }

    /// Enqueues one job.
    pub(super) async fn enqueue(&self, payload: &'static str) -> Result<JobId, Failure> {
        self.enqueue_with(payload, |_| {}).await
    }

    /// Enqueues one job with options.
    pub(super) async fn enqueue_with(
        &self,
        payload: &'static str,
        change: impl FnOnce(&mut EnqueueOptions),
    ) -> Result<JobId, Failure> {
        let mut options = EnqueueOptions::default();
        change(&mut options);
        let envelope: Envelope = self.client.envelope(kind(), self.queue.clone(), payload, options);
        Ok(self.client.enqueue_raw(envelope).await?.id())
    }

    /// A worker with this handler and short times, to be changed or started.
    pub(super) fn builder<F, R>(&self, handler: F) -> Result<WorkerBuilder, Failure>
    where
        F: Fn(JobContext, Journal) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        self.builder_with(4, handler)
    }

    /// The same with so many slots.
    pub(super) fn builder_with<F, R>(&self, slots: usize, handler: F) -> Result<WorkerBuilder, Failure>
    where
        F: Fn(JobContext, Journal) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        let journal = self.journal.clone();
        let run = move |context: JobContext| handler(context, journal.clone());
        let registry = Registry::default().with_raw(&kind(), JobOptions::default(), run);
        Ok(self.builder_of(registry, &self.broker)?.pool(self.queue.clone(), slots))
    }

    /// A worker without pools.
    pub(super) fn builder_of(
        &self,
        registry: Registry,
        broker: &Arc<dyn Broker>,
    ) -> Result<WorkerBuilder, Failure> {
        let builder = Worker::builder().name(WorkerName::new(unique_name("worker"))?).options(self.options());
        Ok(builder.broker(Arc::clone(broker)).store(Arc::clone(&self.store)).registry(registry))
    }

    /// The numbers of its workers.
    pub(super) fn options(&self) -> WorkerOptions {
        WorkerOptions {
            lease: self.lease,
            grace: self.grace,
            handler_grace: Duration::from_millis(200),
            max_attempts: 3,
            backoff: Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(100) },
            ..WorkerOptions::default()
        }
    }

    /// Starts a worker with this handler.
    pub(super) fn start<F, R>(&self, handler: F) -> Result<Running, Failure>
    where
        F: Fn(JobContext, Journal) -> R + Send + Sync + 'static,
        R: Future<Output = JobResult> + Send + 'static,
    {
        run(self.builder(handler)?)
    }

    /// Waits until the job stands in this state.
    pub(super) async fn reaches(&self, id: JobId, state: State) -> Result<JobRecord, Failure> {
        let there = || async { self.store.find(id).await.ok().flatten().filter(|row| row.state == state) };
        if let Some(row) = wait::until_some(PATIENCE * 2, there).await {
            return Ok(row);
        }
        let row = self.store.find(id).await?;
        Err(Failure::new(format!("the job did not become {state:?}: {row:?}")))
    }

    /// Waits until the journal holds this many entries.
    pub(super) async fn journal_has(&self, count: usize) -> Result<(), Failure> {
        if wait::until(PATIENCE * 2, || async { self.journal.entries().len() >= count }).await {
            return Ok(());
        }
        Err(Failure::new(format!("the journal has {:?}, {count} entries were due", self.journal.entries())))
    }
}

/// Starts a worker as a task.
pub(super) fn run(builder: WorkerBuilder) -> Result<Running, Failure> {
    Ok(Running::begin(builder.build()?, Shutdown::new()))
}

impl Running {
    /// Runs a worker that was built.
    pub(super) fn begin(worker: Worker, shutdown: Shutdown) -> Self {
        let task = tokio::spawn(worker.run(shutdown.clone()));
        Self { shutdown, task }
    }

    /// Drains the worker, which must end in time.
    pub(super) async fn drain(mut self) -> Result<Drained, Failure> {
        self.shutdown.quiet();
        let ended = wait::within(PATIENCE, &mut self.task).await;
        ended
            .ok_or_else(|| Failure::new(format!("a drain did not end within {PATIENCE:?}")))??
            .map_err(Failure::from)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Journal {
    /// Notes one effect of a job, with the attempt.
    pub(super) fn note(&self, context: &JobContext) {
        let entry = (context.id(), context.attempt());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Everything that was noted.
    pub(super) fn entries(&self) -> Vec<(JobId, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The attempts that were noted.
    pub(super) fn attempts(&self) -> Vec<u32> {
        self.entries().into_iter().map(|(_, attempt)| attempt).collect()
    }
}

/// The kind that all cases use.
pub(super) fn kind() -> Kind {
    Kind::new("conformance.case").expect("the name is legal")
}
