//! Which claims are settled to the last job, so that the next claim deletes their rows.
//!
//! Only tidiness: a hand that nobody deletes (its worker was killed) is deleted by the rescuer.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use backshift_store::Uuid;

/// Relaxed results are on disk after this long (PostgreSQL: three times `wal_writer_delay`, 600 ms unless somebody changed it). A
/// crash of the server that undoes a result must find the claim, else nobody would know that its job runs.
const SURE_AFTER: Duration = Duration::from_secs(3);

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
            self.settled.ids().push((Instant::now(), self.id));
        }
    }
}

/// Claims that are settled and whose rows still exist.
#[derive(Default)]
pub(super) struct SettledHands(Mutex<Vec<(Instant, Uuid)>>);

impl SettledHands {
    /// What the next claim deletes: whose results are on disk by now.
    pub(super) fn take(&self) -> Vec<Uuid> {
        let mut ids = self.ids();
        let sure = ids.iter().take_while(|(settled_at, _)| settled_at.elapsed() > SURE_AFTER).count();
        ids.drain(..sure).map(|(_, id)| id).collect()
    }

    /// A claim that took so many jobs.
    pub(super) fn hand(self: &Arc<Self>, id: Uuid, jobs: usize) -> Arc<Hand> {
        Arc::new(Hand { id, left: AtomicUsize::new(jobs), settled: Arc::clone(self) })
    }

    fn ids(&self) -> MutexGuard<'_, Vec<(Instant, Uuid)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
