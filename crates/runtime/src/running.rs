//! The attempts of one pool that run or wait for their settlement.
//!
//! An attempt stays here until it is settled durably, so that its lease is kept until then. What the broker hands out
//! again because a connection was cut goes to the attempt whose delivery it was.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use backshift_core::{Envelope, JobId, Receipt, broker::Tie};
use tokio::sync::Notify;

use crate::{attempt::Attempt, outcome::Stop};

#[derive(Default)]
pub(crate) struct Running {
    attempts: Mutex<BTreeMap<u64, Arc<Attempt>>>,
    /// Messages without an id that are settled without having run here.
    turned_away: Mutex<BTreeMap<JobId, Tie>>,
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
    pub(crate) fn holds(&self, id: JobId) -> bool {
        self.attempts().values().any(|attempt| attempt.id() == id)
    }

    /// Gives a delivery that came again to the attempt that runs its message and lost it. One attempt takes one; what
    /// belongs to none comes back.
    pub(crate) fn adopt(
        &self,
        envelope: &Envelope,
        nameless: bool,
        receipt: Box<dyn Receipt>,
    ) -> Result<(), Box<dyn Receipt>> {
        let attempts = self.attempts();
        // Looked for and given under one lock: an attempt that is found has not been settled yet.
        match attempts.values().find(|attempt| attempt.is_cut() && attempt.is_of(envelope, nameless)) {
            Some(attempt) => {
                attempt.inherit(receipt);
                Ok(())
            }
            None => Err(receipt),
        }
    }

    /// Jobs whose messages carry no id and are held by a connection that stands: none of them comes again.
    pub(crate) fn nameless(&self) -> Vec<JobId> {
        let held = |attempt: &&Arc<Attempt>| attempt.nameless && !attempt.is_cut();
        let mut ids: Vec<JobId> = self.attempts().values().filter(held).map(|attempt| attempt.id()).collect();
        let turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        ids.extend(turned_away.iter().filter(|(_, tie)| !tie.is_cut()).map(|(id, _)| *id));
        ids
    }

    /// A message without an id that is settled without having run here.
    pub(crate) fn turn_away(&self, id: JobId, tie: Tie) {
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).insert(id, tie);
    }

    /// It is settled.
    pub(crate) fn turned_away(&self, id: JobId) {
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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
