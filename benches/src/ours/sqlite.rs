//! Backshift on a SQLite file as `backshift dev` builds it: `Worker`, the embedded broker, `SqlStore`.
//!
//! A drain is over when the file shows it: no row waits or runs. What the handlers counted is only the sign to look.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use backshift_brokers::embedded;
use backshift_core::{
    Client, EnqueueOptions, Envelope, JobContext, JobError, JobOptions, Kind, QueueName, Registry, Store,
    WorkerName,
};
use backshift_runtime::{Drained, RunError, Shutdown, Worker, middleware};
use backshift_store::SqlStore;
use tokio::task::JoinHandle;

use crate::{
    harness::{Arm, Sample, Seen, Server, Stopwatch},
    site::sqlite::{JobFile, KIND, QUEUE, Sync},
};

/// A worker that drains a filled file.
pub(crate) struct Drain {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) slots: usize,
}

#[async_trait]
impl Arm for Drain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!(
            "Worker with {} slots on the embedded broker, default options, tracing and metrics",
            self.slots
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let file = JobFile::filled(jobs).await?;
        let backshift = Backshift::open(&file)?;
        let (seen, worker) = backshift.ready(jobs, self.slots)?;
        let watch = Stopwatch::start(Server::none());
        let at_work = AtWork::start(seen, worker);
        let sample = at_work.done(&file, watch).await?;
        backshift.close().await;
        file.check(jobs)?;
        Ok(sample)
    }
}

/// A worker that runs, and the jobs that it has to tick off.
struct AtWork {
    seen: Arc<Seen>,
    shutdown: Shutdown,
    running: JoinHandle<Result<Drained, RunError>>,
}

impl AtWork {
    fn start(seen: Arc<Seen>, worker: Worker) -> Self {
        let shutdown = Shutdown::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        Self { seen, shutdown, running }
    }

    /// Stops the watch when the file shows all of them as done, then the worker.
    async fn done(self, file: &JobFile, watch: Stopwatch) -> Result<Sample> {
        self.seen.complete().await;
        finished(file).await?;
        let sample = watch.stop(self.seen.jobs() as u64);
        self.shutdown.quiet();
        self.running.await??;
        self.seen.check()?;
        Ok(sample)
    }
}

/// Waits until the file shows no unfinished job.
pub(crate) async fn finished(file: &JobFile) -> Result<()> {
    let connection = file.connect(Sync::Normal)?;
    while JobFile::unfinished(&connection)? > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Callers that enqueue durably, each waiting for its own answer.
pub(crate) struct Enqueue {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) callers: usize,
    /// Jobs of one call.
    pub(crate) batch: usize,
}

#[async_trait]
impl Arm for Enqueue {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("{} callers of Client, {} jobs a call, each answered when synced", self.callers, self.batch)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let calls = ((self.jobs as f64 * scale) as usize).div_ceil(self.callers * self.batch);
        let jobs = calls * self.callers * self.batch;
        let file = JobFile::make().await?;
        let backshift = Backshift::open(&file)?;
        let mut payloads = (0..jobs).map(Seen::payload);
        let watch_from: Vec<Vec<Vec<u8>>> =
            (0..self.callers).map(|_| payloads.by_ref().take(calls * self.batch).collect()).collect();
        let watch = Stopwatch::start(Server::none());
        let callers: Vec<_> = watch_from
            .into_iter()
            .map(|payloads| tokio::spawn(call(backshift.client.clone(), payloads, self.batch)))
            .collect();
        for caller in callers {
            caller.await??;
        }
        let sample = watch.stop(jobs as u64);
        backshift.close().await;
        let there = JobFile::unfinished(&file.connect(Sync::Normal)?)?;
        anyhow::ensure!(there == jobs, "the file holds {there} jobs, not {jobs}");
        Ok(sample)
    }
}

async fn call(client: Client, payloads: Vec<Vec<u8>>, batch: usize) -> Result<()> {
    let (kind, queue) = (Kind::new(KIND)?, QueueName::new(QUEUE)?);
    let envelope = |payload| client.envelope(kind.clone(), queue.clone(), payload, EnqueueOptions::default());
    let mut payloads = payloads.into_iter();
    loop {
        let mut jobs: Vec<Envelope> = payloads.by_ref().take(batch).map(envelope).collect();
        match (jobs.len(), batch) {
            (0, _) => return Ok(()),
            (_, 1) => drop(client.enqueue_raw(jobs.remove(0)).await?),
            _ => {
                for answer in client.enqueue_many(jobs).await {
                    answer?;
                }
            }
        }
    }
}

/// The life of jobs from the enqueue to the end, with a worker that runs all the time.
pub(crate) struct LifeCycle {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) batch: usize,
    pub(crate) slots: usize,
}

#[async_trait]
impl Arm for LifeCycle {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!(
            "one caller enqueues {} at a time, synced; Worker with {} slots beside it",
            self.batch, self.slots
        )
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let file = JobFile::make().await?;
        let backshift = Backshift::open(&file)?;
        let (seen, worker) = backshift.ready(jobs, self.slots)?;
        let payloads: Vec<Vec<u8>> = (0..jobs).map(Seen::payload).collect();
        let at_work = AtWork::start(seen, worker);
        let watch = Stopwatch::start(Server::none());
        call(backshift.client.clone(), payloads, self.batch).await?;
        let sample = at_work.done(&file, watch).await?;
        backshift.close().await;
        file.check(jobs)?;
        Ok(sample)
    }
}

/// Everything of ours on one file.
pub(crate) struct Backshift {
    store: SqlStore,
    broker: Arc<dyn backshift_core::Broker>,
    pub(crate) client: Client,
}

impl Backshift {
    pub(crate) fn open(file: &JobFile) -> Result<Self> {
        let store = SqlStore::new(file.open()?);
        let broker: Arc<dyn backshift_core::Broker> = Arc::new(embedded::broker(store.clone())?);
        let client = Client::new(Arc::clone(&broker), Some(Arc::new(store.clone()) as Arc<dyn Store>));
        Ok(Self { store, broker, client })
    }

    /// A worker for so many jobs, and where it ticks them off.
    fn ready(&self, jobs: usize, slots: usize) -> Result<(Arc<Seen>, Worker)> {
        let seen = Arc::new(Seen::new(jobs));
        let worker = self.worker(&seen, slots)?;
        Ok((seen, worker))
    }

    /// A worker whose handler ticks jobs off.
    pub(crate) fn worker(&self, seen: &Arc<Seen>, slots: usize) -> Result<Worker> {
        let handled = Arc::clone(seen);
        let handler = move |context: JobContext| {
            let seen = handled.mark(&context.envelope().payload);
            async move { seen.map_err(|error| JobError::permanent(error.to_string())) }
        };
        let registry = Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), handler);
        self.worker_with(registry, slots)
    }

    /// A worker with these handlers.
    pub(crate) fn worker_with(&self, registry: Registry, slots: usize) -> Result<Worker> {
        let worker = Worker::builder()
            .name(WorkerName::new("bench")?)
            .registry(registry)
            .middleware(middleware::Trace)
            .middleware(middleware::Metrics)
            .store(Arc::new(self.store.clone()))
            .broker(Arc::clone(&self.broker))
            .pool(QueueName::new(QUEUE)?, slots);
        Ok(worker.build()?)
    }

    pub(crate) async fn close(self) {
        self.store.database().close().await;
    }
}
