//! The gate that lets a suspected job run alone in its process, over all pools.
//!
//! Everything that holds claims has a [`Pass`]. While a lonely job waits, no new passes are given, so it cannot
//! starve; those already inside may finish, so no innocent claim is open when the suspect runs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backshift_core::JobId;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Counts {
    inside: usize,
    waiting: usize,
    alone: bool,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Mutex<Counts>,
    changed: Notify,
}

impl Inner {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One gate a process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Arc<Inner>);

impl Gate {
    /// Waits until no lonely job waits or runs, and enters.
    pub(crate) async fn enter(&self) -> Pass {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            {
                let mut counts = self.0.counts();
                if counts.waiting == 0 && !counts.alone {
                    counts.inside += 1;
                    return Pass(Arc::clone(&self.0));
                }
            }
            changed.await;
        }
    }

    /// Waits until a lonely job waits or runs: time to stop taking jobs.
    pub(crate) async fn closing(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.is_closed() {
                return;
            }
            changed.await;
        }
    }

    /// Whether a lonely job waits or runs.
    pub(crate) fn is_closed(&self) -> bool {
        let counts = self.0.counts();
        counts.waiting > 0 || counts.alone
    }

    /// Gives the pass back and waits to be alone; `None` = the others did not end within `patience`.
    pub(crate) async fn alone(&self, pass: Pass, patience: Duration) -> Option<Alone> {
        self.0.counts().waiting += 1;
        // Counted before the pass goes, so that no fetcher slips in between; a dropped call counts itself out.
        let mut waiting = Waiting { inner: Arc::clone(&self.0), counted: true };
        self.0.changed.notify_waiters();
        drop(pass);
        tokio::time::timeout(patience, waiting.turn()).await.ok()
    }
}

struct Waiting {
    inner: Arc<Inner>,
    counted: bool,
}

impl Waiting {
    async fn turn(&mut self) -> Alone {
        let inner = Arc::clone(&self.inner);
        loop {
            let mut changed = std::pin::pin!(inner.changed.notified());
            changed.as_mut().enable();
            {
                let mut counts = inner.counts();
                if counts.inside == 0 && !counts.alone {
                    counts.alone = true;
                    counts.waiting -= 1;
                    self.counted = false;
                    return Alone(Arc::clone(&inner));
                }
            }
            changed.await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.counted {
            self.inner.counts().waiting -= 1;
            self.inner.changed.notify_waiters();
        }
    }
}

/// The right to hold claims beside others.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Inner>);

impl Clone for Pass {
    fn clone(&self) -> Self {
        self.0.counts().inside += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let wake = {
            let mut counts = self.0.counts();
            counts.inside -= 1;
            counts.inside == 0 && counts.waiting > 0
        };
        if wake {
            self.0.changed.notify_waiters();
        }
    }
}

/// The right to run with nobody beside.
#[derive(Debug)]
pub(crate) struct Alone(Arc<Inner>);

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.counts().alone = false;
        self.0.changed.notify_waiters();
    }
}

/// How often this process was not quiet in time for a job that must run alone. Forgotten when the job runs, and all of it
/// when it is about too many.
#[derive(Debug, Default)]
pub(crate) struct Tries(Mutex<HashMap<JobId, u32>>);

/// More jobs than this are not remembered.
const REMEMBERED: usize = 1000;

impl Tries {
    pub(crate) fn of(&self, job: JobId) -> u32 {
        self.tries().get(&job).copied().unwrap_or_default()
    }

    pub(crate) fn one_more(&self, job: JobId) {
        let mut tries = self.tries();
        if tries.len() >= REMEMBERED && !tries.contains_key(&job) {
            tries.clear();
        }
        *tries.entry(job).or_default() += 1;
    }

    pub(crate) fn forget(&self, job: JobId) {
        self.tries().remove(&job);
    }

    fn tries(&self) -> MutexGuard<'_, HashMap<JobId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lonely_job_waits_for_the_others_and_keeps_new_ones_out() {
        let gate = Gate::default();
        let (mine, other) = (gate.enter().await, gate.enter().await);
        let mut alone = Box::pin(gate.alone(mine, Duration::from_secs(60)));
        assert!(alone.as_mut().now_or_never().is_none());
        assert!(gate.is_closed() && gate.enter().now_or_never().is_none());
        drop(other);
        let alone = alone.await.unwrap();
        assert!(gate.enter().now_or_never().is_none());
        drop(alone);
        assert!(gate.enter().now_or_never().is_some() && !gate.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_when_the_others_do_not_end_and_opens_the_gate_again() {
        let gate = Gate::default();
        let (mine, _other) = (gate.enter().await, gate.enter().await);
        assert!(gate.alone(mine, Duration::from_secs(60)).await.is_none());
        assert!(!gate.is_closed() && gate.enter().now_or_never().is_some());
    }

    #[test]
    fn tries_are_counted_by_job_forgotten_with_its_run_and_bounded() {
        let (tries, one, two) = (Tries::default(), JobId::generate(), JobId::generate());
        tries.one_more(one);
        tries.one_more(one);
        tries.one_more(two);
        assert_eq!((tries.of(one), tries.of(two)), (2, 1));
        tries.forget(one);
        assert_eq!((tries.of(one), tries.of(two)), (0, 1));
        for _ in 0..3 * REMEMBERED {
            tries.one_more(JobId::generate());
            assert!(tries.tries().len() <= REMEMBERED);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_lonely_jobs_run_one_after_the_other() {
        let gate = Gate::default();
        let (one, two) = (gate.enter().await, gate.enter().await);
        let mut first = Box::pin(gate.alone(one, Duration::from_secs(60)));
        assert!(first.as_mut().now_or_never().is_none());
        let second = gate.alone(two, Duration::from_secs(60)).await.unwrap();
        assert!(first.as_mut().now_or_never().is_none());
        drop(second);
        assert!(first.await.is_some());
    }
}
