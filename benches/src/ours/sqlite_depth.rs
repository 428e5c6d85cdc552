//! The same drain from a short queue and from a very long one: the rate must not know the difference.
//!
//! The clock runs from the first handler on, because a worker's start costs a short queue more than a long one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use backshift_core::{JobOptions, Kind, Registry};
use backshift_runtime::Shutdown;
use tokio::sync::Notify;

use super::sqlite::Backshift;
use crate::{
    harness::{Arm, Sample, Server, Stopwatch, Unit},
    site::sqlite::{JobFile, KIND, Sync},
};

/// Drains some of the jobs of a file.
pub(crate) struct Depth {
    pub(crate) name: &'static str,
    pub(crate) backlog: usize,
    /// Jobs of one measurement.
    pub(crate) jobs: usize,
    pub(crate) slots: usize,
    /// A backlog that is larger than that is filled once and worn down by the rounds.
    pub(crate) file: Option<JobFile>,
}

/// How long a piece took, and how much the file shows as done.
struct Piece {
    seconds: f64,
    /// Processor seconds, the worker's start included.
    cpu: f64,
    jobs: usize,
}

#[async_trait]
impl Arm for Depth {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        format!("Worker with {} slots, {} of a backlog of {} jobs", self.slots, self.jobs, self.backlog)
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let backlog = (self.backlog as f64 * scale) as usize;
        let jobs = (self.jobs as f64 * scale) as usize;
        let (mut seconds, mut cpu, mut done) = (0.0, 0.0, 0);
        while done < jobs {
            let file = match self.file.take() {
                Some(file) => file,
                None => JobFile::filled(backlog).await?,
            };
            let piece = drain(&file, jobs.min(backlog), self.slots).await?;
            seconds += piece.seconds;
            cpu += piece.cpu;
            done += piece.jobs;
            if backlog > jobs {
                self.file = Some(file);
            }
        }
        let value = done as f64 / seconds;
        let client_cpu = cpu * 1000.0 / done as f64;
        Ok(Sample { jobs: done as u64, seconds, value, unit: Unit::PerSecond, client_cpu, server_cpu: None })
    }
}

async fn drain(file: &JobFile, enough: usize, slots: usize) -> Result<Piece> {
    let before = JobFile::unfinished(&file.connect(Sync::Normal)?)?;
    let backshift = Backshift::open(file)?;
    let count = Arc::new((AtomicUsize::new(0), Notify::new(), std::sync::OnceLock::new()));
    let counted = Arc::clone(&count);
    let registry = Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), move |_| {
        let (handled, reached, began) = &*counted;
        began.get_or_init(Instant::now);
        if handled.fetch_add(1, Ordering::Relaxed) + 1 == enough {
            reached.notify_one();
        }
        async { Ok(()) }
    });
    let worker = backshift.worker_with(registry, slots)?;
    let shutdown = Shutdown::new();
    let watch = Stopwatch::start(Server::none());
    let running = tokio::spawn(worker.run(shutdown.clone()));
    count.1.notified().await;
    shutdown.quiet();
    running.await??;
    let seconds = count.2.get().map_or(0.0, |began| began.elapsed().as_secs_f64());
    let cpu = watch.stop(1000).client_cpu;
    backshift.close().await;
    let jobs = before - JobFile::unfinished(&file.connect(Sync::Normal)?)?;
    let handled = count.0.load(Ordering::Relaxed);
    ensure!(jobs == handled, "the file shows {jobs} jobs as done and {handled} were handled");
    Ok(Piece { seconds, cpu, jobs })
}
