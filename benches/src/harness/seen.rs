//! Which jobs were done, and how often: a run in which one is missing or done twice has no result.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tokio::sync::Notify;

/// Every payload is this long.
const PAYLOAD_BYTES: usize = 150;

/// One bit a job.
pub(crate) struct Seen {
    bits: Vec<AtomicU64>,
    jobs: usize,
    done: AtomicUsize,
    twice: AtomicUsize,
    complete: Notify,
}

impl Seen {
    /// Expects the jobs 0 to `jobs` - 1.
    pub(crate) fn new(jobs: usize) -> Self {
        let bits = (0..jobs.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (done, twice) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { bits, jobs, done, twice, complete: Notify::new() }
    }

    /// The payload of a job: JSON with its number.
    pub(crate) fn payload(number: usize) -> Vec<u8> {
        let begin = format!("{{\"n\":{number},\"pad\":\"");
        let pad = "x".repeat(PAYLOAD_BYTES - begin.len() - 2);
        format!("{begin}{pad}\"}}").into_bytes()
    }

    /// What every arm's handler does: reads the job and ticks it off.
    pub(crate) fn mark(&self, payload: &[u8]) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct Job {
            n: usize,
        }
        let Job { n } = serde_json::from_slice(payload)?;
        ensure!(n < self.jobs, "job {n} was never enqueued");
        let bit = 1 << (n % 64);
        if self.bits[n / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            self.twice.fetch_add(1, Ordering::Relaxed);
        } else if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.jobs {
            self.complete.notify_one();
        }
        Ok(())
    }

    /// How many are expected.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Whether all are done.
    pub(crate) fn is_complete(&self) -> bool {
        self.done.load(Ordering::Relaxed) == self.jobs
    }

    /// Waits until all are done.
    pub(crate) async fn complete(&self) {
        if !self.is_complete() {
            self.complete.notified().await;
        }
    }

    /// # Errors
    /// Unless each job was done exactly once.
    pub(crate) fn check(&self) -> Result<()> {
        let (done, twice) = (self.done.load(Ordering::Relaxed), self.twice.load(Ordering::Relaxed));
        ensure!(done == self.jobs && twice == 0, "{done} of {} jobs were done, {twice} again", self.jobs);
        Ok(())
    }
}
