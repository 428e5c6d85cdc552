//! A worker with nothing to do: how soon it notices a job, and what the waiting costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use backshift_core::{EnqueueOptions, JobOptions, Kind, QueueName, Registry};
use backshift_runtime::Shutdown;
use tokio::sync::mpsc;

use super::sqlite::Backshift;
use crate::{
    harness::{Arm, Sample, Seen, Server, Stopwatch, Unit},
    site::sqlite::{JobFile, KIND, QUEUE},
};

/// From the call of `enqueue` to the first line of the handler, the sync of the accepted job included.
pub(crate) struct PickUp {
    pub(crate) name: &'static str,
    pub(crate) samples: usize,
    pub(crate) slots: usize,
}

#[async_trait]
impl Arm for PickUp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!(
            "p99 of {} jobs, one every 5 to 8 ms, each synced; idle Worker with {} slots",
            self.samples, self.slots
        )
    }

    async fn measure(&mut self, _: f64) -> Result<Sample> {
        let file = JobFile::make().await?;
        let backshift = Backshift::open(&file)?;
        let (began, mut begun) = mpsc::unbounded_channel();
        let handler = move |_| {
            let _ = began.send(Instant::now());
            async { Ok(()) }
        };
        let registry = Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), handler);
        let shutdown = Shutdown::new();
        let running = tokio::spawn(backshift.worker_with(registry, self.slots)?.run(shutdown.clone()));
        let (kind, queue) = (Kind::new(KIND)?, QueueName::new(QUEUE)?);
        let mut latencies = Vec::with_capacity(self.samples);
        let watch = Stopwatch::start(Server::none());
        for number in 0..self.samples {
            tokio::time::sleep(Duration::from_micros(5000 + (number as u64 * 7919) % 3000)).await;
            let options = EnqueueOptions::default();
            let job = backshift.client.envelope(kind.clone(), queue.clone(), Seen::payload(number), options);
            let before = Instant::now();
            backshift.client.enqueue_raw(job).await?;
            let at = begun.recv().await.context("the handler is gone")?;
            latencies.push(at.saturating_duration_since(before).as_secs_f64() * 1000.0);
        }
        latencies.sort_by(f64::total_cmp);
        let p99 = latencies[(latencies.len() * 99).div_ceil(100) - 1];
        let sample = watch.figure(self.samples as u64, p99, Unit::Milliseconds);
        shutdown.quiet();
        running.await??;
        backshift.close().await;
        Ok(sample)
    }
}

/// Processor time of a worker that waits, in milliseconds a second: 3 are 0.3 % of a core.
pub(crate) struct Waiting {
    pub(crate) name: &'static str,
    pub(crate) seconds: u64,
    pub(crate) slots: usize,
}

#[async_trait]
impl Arm for Waiting {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("{} s with an empty queue, Worker with {} slots", self.seconds, self.slots)
    }

    async fn measure(&mut self, _: f64) -> Result<Sample> {
        let file = JobFile::make().await?;
        let backshift = Backshift::open(&file)?;
        let worker = backshift.worker(&Arc::new(Seen::new(1)), self.slots)?;
        let shutdown = Shutdown::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let watch = Stopwatch::start(Server::none());
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        // Per 1,000 "jobs" = in all.
        let sample = watch.stop(1000);
        shutdown.quiet();
        running.await??;
        backshift.close().await;
        let value = sample.client_cpu * 1000.0 / self.seconds as f64;
        Ok(Sample { value, unit: Unit::Milliseconds, ..sample })
    }
}
