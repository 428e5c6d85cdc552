//! The attempts of one pool that run or wait for their settlement.
//!
//! An attempt stays here until it is settled durably, so that its lease is kept until then.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::{attempt::Attempt, outcome::Stop};

#[derive(Default)]
pub(crate) struct Running {
    attempts: Mutex<BTreeMap<u64, Arc<Attempt>>>,
    left: Notify,
}

impl Running {
    pub(crate) fn add(&self, attempt: &Arc<Attempt>) {
        self.attempts().insert(attempt.number_in_process, Arc::clone(attempt));
    }

    pub(crate) fn remove(&self, attempt: &Arc<Attempt>) {
        let empty = {
            let mut attempts = self.attempts();
            attempts.remove(&attempt.number_in_process);
            attempts.is_empty()
        };
        if empty {
            self.left.notify_waiters();
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Attempt>> {
        self.attempts().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.attempts().len()
    }

    /// Whether this process holds the job now.
    pub(crate) fn holds(&self, id: backshift_core::JobId) -> bool {
        self.attempts().values().any(|attempt| attempt.id() == id)
    }

    pub(crate) fn stop_all(&self, why: Stop) {
        self.all().iter().filter(|attempt| !attempt.has_ended()).for_each(|attempt| attempt.stop(why));
    }

    /// Resolves when nothing runs and nothing waits for its settlement.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.attempts().is_empty() {
                return;
            }
            left.await;
        }
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
