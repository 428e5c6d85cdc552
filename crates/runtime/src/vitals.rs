//! Signs that a pool consumes. Readiness and the watchdog judge by them; the fetcher leaves them.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Of one pool.
#[derive(Debug)]
pub(crate) struct Vitals {
    born: Instant,
    consuming: AtomicBool,
    stuck: AtomicBool,
    /// Milliseconds since birth at which the fetcher began to wait, or got something; 0 = it does not wait.
    waiting_since: AtomicU64,
    pub(crate) fetched: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            consuming: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
        }
    }
}

impl Vitals {
    pub(crate) fn set_consuming(&self, consuming: bool) {
        self.consuming.store(consuming, Ordering::Relaxed);
    }

    pub(crate) fn is_consuming(&self) -> bool {
        self.consuming.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// The fetcher waits for work from now on, unless it waits already.
    pub(crate) fn waits(&self) {
        let now = self.millis();
        // Waiting already: the older time stands.
        let _ = self.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The fetcher got something, or has a reason not to wait.
    pub(crate) fn waits_not(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
        self.set_stuck(false);
    }

    pub(crate) fn got(&self, count: usize) {
        self.fetched.fetch_add(count as u64, Ordering::Relaxed);
        self.waits_not();
    }

    /// For how long the fetcher has waited with free slots and got nothing.
    pub(crate) fn waited(&self) -> Duration {
        match self.waiting_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.millis().saturating_sub(since)),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}
