//! The first part of a deep backlog in PostgreSQL, beside short queues that are worked off whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use backshift_core::{JobOptions, Kind, QueueName, Registry};
use backshift_runtime::Shutdown;
use tokio::sync::Notify;

use super::postgres::{KIND, QUEUE, SLOTS, builder, empty, fill_range, open};
use crate::{
    harness::{Arm, Sample, Stopwatch},
    site::postgres::PgSite,
};

/// Jobs that are worked off in one round.
const DRAINED: f64 = 200_000.0;

/// Draining `DRAINED` jobs of a backlog that is `depth` deep each time.
pub(crate) struct Depth {
    name: &'static str,
    site: PgSite,
    depth: f64,
    /// Jobs made so far; 0 = the tables are not there yet.
    made: u64,
}

impl Depth {
    pub(crate) async fn new(name: &'static str, depth: f64) -> Result<Self> {
        Ok(Self { name, site: PgSite::make(&name.replace('-', "_")).await?, depth, made: 0 })
    }

    /// Fills the queue up to its depth.
    async fn fill_up(&mut self, depth: u64) -> Result<()> {
        let waiting = self.site.count("SELECT COUNT(*) FROM job_line").await?;
        let more = depth.saturating_sub(waiting);
        fill_range(&self.site, self.made, more).await?;
        self.made += more;
        Ok(())
    }
}

#[async_trait]
impl Arm for Depth {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("Worker with {SLOTS} slots, backlog of {} jobs; {}", self.depth, self.site.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let store = open(&self.site).await?;
        let depth = (self.depth * scale) as u64;
        let wanted = (DRAINED * scale) as u64;
        if self.made == 0 {
            empty(&self.site).await?;
        }
        // A short queue is worked off whole, again and again; only draining is counted.
        let mut sum: Option<Sample> = None;
        while sum.as_ref().is_none_or(|sum| sum.jobs < wanted) {
            self.fill_up(depth).await?;
            let before =
                self.site.count("SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'").await?;
            let counter = Counter::new(wanted.min(depth));
            let worker =
                builder(&store)?.registry(counter.registry()?).pool(QueueName::new(QUEUE)?, SLOTS).build()?;
            let shutdown = Shutdown::new();
            let watch = Stopwatch::start(self.site.server);
            let began = Instant::now();
            let running = tokio::spawn(worker.run(shutdown.clone()));
            counter.reached().await;
            shutdown.quiet();
            running.await??;
            let seconds = began.elapsed().as_secs_f64();
            let handled = counter.count();
            let part = Sample { seconds, ..watch.stop(handled) };
            let done =
                self.site.count("SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'").await?;
            ensure!(done - before == handled, "void: {handled} jobs ran, {} are done", done - before);
            sum = Some(sum.map_or(part.clone(), |sum| add(&sum, &part)));
        }
        store.database().close().await;
        sum.ok_or_else(|| anyhow::anyhow!("nothing was drained"))
    }
}

fn add(one: &Sample, other: &Sample) -> Sample {
    let (jobs, seconds) = (one.jobs + other.jobs, one.seconds + other.seconds);
    let mean = |one_cpu: f64, other_cpu: f64| {
        (one_cpu * one.jobs as f64 + other_cpu * other.jobs as f64) / jobs as f64
    };
    Sample {
        jobs,
        seconds,
        value: jobs as f64 / seconds,
        client_cpu: mean(one.client_cpu, other.client_cpu),
        server_cpu: one.server_cpu.zip(other.server_cpu).map(|(one, other)| mean(one, other)),
        ..one.clone()
    }
}

/// Counts handlers up to a number.
struct Counter(Arc<(AtomicU64, u64, Notify)>);

impl Counter {
    fn new(enough: u64) -> Self {
        Self(Arc::new((AtomicU64::new(0), enough, Notify::new())))
    }

    fn count(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    async fn reached(&self) {
        self.0.2.notified().await;
    }

    fn registry(&self) -> Result<Registry> {
        let counter = Arc::clone(&self.0);
        let handler = move |_| {
            if counter.0.fetch_add(1, Ordering::Relaxed) + 1 == counter.1 {
                counter.2.notify_one();
            }
            async { Ok(()) }
        };
        Ok(Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), handler))
    }
}
