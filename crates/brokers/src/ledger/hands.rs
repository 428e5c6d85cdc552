//! Which claims are settled to the last job, so that the next claim deletes their rows.
//!
//! Only tidiness: a hand that nobody deletes (its worker was killed) is deleted by the rescuer.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use backshift_store::Uuid;

/// One claim with jobs that are not settled.
pub(super) struct Hand {
    id: Uuid,
    left: AtomicUsize,
    settled: Arc<SettledHands>,
}

impl Hand {
    /// One more of its jobs is settled.
    pub(super) fn settle_one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.ids().push(self.id);
        }
    }
}

/// Claims that are settled and whose rows still exist.
#[derive(Default)]
pub(super) struct SettledHands(Mutex<Vec<Uuid>>);

impl SettledHands {
    /// What the next claim deletes.
    pub(super) fn take(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.ids())
    }

    /// A claim that took so many jobs.
    pub(super) fn hand(self: &Arc<Self>, id: Uuid, jobs: usize) -> Arc<Hand> {
        Arc::new(Hand { id, left: AtomicUsize::new(jobs), settled: Arc::clone(self) })
    }

    fn ids(&self) -> MutexGuard<'_, Vec<Uuid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
