//! The engine alone: a worker on a broker that is a list in memory, so that every microsecond is the runtime's own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use backshift_core::{
    Accepted, Ack, Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, DeadLetter, Delivery,
    Envelope, JobError, JobOptions, Kind, QueueName, Receipt, Registry, Retry, Settled, WorkerName,
};
use backshift_runtime::{Shutdown, Worker};

use crate::harness::{Arm, Sample, Seen, Server, Stopwatch, Unit};

const KIND: &str = "bench";
/// The most that one fetch hands over.
const BATCH: usize = 256;

/// A drain of the list by a worker. Its figure is processor time, or the rate.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) slots: usize,
    /// Milliseconds of processor time per 1,000 jobs, which are microseconds a job, instead of the rate.
    pub(crate) processor: bool,
}

#[async_trait]
impl Arm for Engine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("Worker with {} slots on a list in memory, no store", self.slots)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let queue = QueueName::new("bench")?;
        let broker = Memory::filled(jobs, &queue)?;
        let seen = Arc::new(Seen::new(jobs));
        let handled = Arc::clone(&seen);
        let registry =
            Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), move |context| {
                let marked = handled.mark(&context.envelope().payload);
                async move { marked.map_err(|error| JobError::permanent(error.to_string())) }
            });
        let builder = Worker::builder().name(WorkerName::new("bench")?).registry(registry);
        let worker = builder.broker(Arc::new(broker)).pool(queue, self.slots).build()?;
        let shutdown = Shutdown::new();
        let watch = Stopwatch::start(Server::none());
        let running = tokio::spawn(worker.run(shutdown.clone()));
        seen.complete().await;
        let sample = watch.stop(jobs as u64);
        shutdown.quiet();
        running.await.context("the worker panicked")??;
        seen.check()?;
        if self.processor {
            return Ok(Sample { value: sample.client_cpu * 1000.0, unit: Unit::Milliseconds, ..sample });
        }
        Ok(sample)
    }
}

/// What the same machine does with a channel and a task a job: no names, no panics caught, no leases, no retries.
pub(crate) struct Spawned {
    pub(crate) name: &'static str,
    pub(crate) jobs: usize,
    pub(crate) slots: usize,
}

#[async_trait]
impl Arm for Spawned {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("a tokio channel, a task a job, {} at once", self.slots)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs as f64 * scale) as usize;
        let list: VecDeque<Envelope> = envelopes(jobs, &QueueName::new("bench")?)?;
        let seen = Arc::new(Seen::new(jobs));
        let (send, mut receive) = tokio::sync::mpsc::channel(self.slots);
        let slots = Arc::new(tokio::sync::Semaphore::new(self.slots));
        let watch = Stopwatch::start(Server::none());
        tokio::spawn(async move {
            for job in list {
                let _ = send.send(job).await;
            }
        });
        while let Some(job) = receive.recv().await {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let _ = seen.mark(&job.payload);
                drop(slot);
            });
        }
        seen.complete().await;
        let sample = watch.stop(jobs as u64);
        seen.check()?;
        Ok(sample)
    }
}

fn envelopes(jobs: usize, queue: &QueueName) -> Result<VecDeque<Envelope>> {
    let kind = Kind::new(KIND)?;
    let now = jiff::Timestamp::now();
    Ok((0..jobs).map(|n| Envelope::new(kind.clone(), queue.clone(), Seen::payload(n), now)).collect())
}

type List = Arc<Mutex<VecDeque<Envelope>>>;

/// A list of jobs as a broker. What is settled is forgotten.
struct Memory(List);

impl Memory {
    fn filled(jobs: usize, queue: &QueueName) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(envelopes(jobs, queue)?))))
    }
}

#[async_trait]
impl Broker for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn declare(&self, _: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        let answers = batch.iter().map(|job| Ok(Accepted::New(job.id))).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        answers
    }

    async fn consume(&self, _: &QueueName, _: ConsumeOptions) -> Result<Box<dyn Consumer>, BrokerError> {
        Ok(Box::new(Hand(Arc::clone(&self.0))))
    }

    async fn depth(&self, _: &QueueName) -> Result<u64, BrokerError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    async fn remove(&self, _: &QueueName) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

struct Hand(List);

#[async_trait]
impl Consumer for Hand {
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        loop {
            let batch: Vec<Delivery> = {
                let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let some = list.len().min(free).min(BATCH);
                list.drain(..some).map(delivery).collect()
            };
            if !batch.is_empty() {
                return Ok(batch);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn quiet(&mut self) {}
}

fn delivery(job: Envelope) -> Delivery {
    Delivery {
        job: Ok(job),
        redelivered: false,
        anonymous: false,
        start: None,
        claimed_at: None,
        receipt: Box::new(Forget),
    }
}

struct Forget;

#[async_trait]
impl Receipt for Forget {
    async fn ack(self: Box<Self>, _: Ack) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn retry(self: Box<Self>, _: Retry) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn dead_letter(self: Box<Self>, _: DeadLetter) -> Result<Settled, BrokerError> {
        Ok(Settled::Applied)
    }

    async fn extend(&mut self, _: Duration) -> Result<(), BrokerError> {
        Ok(())
    }
}
