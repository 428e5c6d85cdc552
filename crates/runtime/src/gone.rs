//! The word to the ledger that messages without an id are settled, so that no redelivery is taken for them any more.
//!
//! It is never waited for: unsaid, an ended job answers for one message too many that looks like its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{JobId, Store};
use tokio::time::sleep;

/// More than this many are not remembered while the store is away.
const MOST: usize = 10_000;
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Jobs whose messages are gone and of which the ledger does not know yet.
#[derive(Default)]
pub(crate) struct Gone(Mutex<Vec<JobId>>);

impl Gone {
    pub(crate) fn put(&self, job: Option<JobId>) {
        let Some(job) = job else { return };
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() < MOST {
            jobs.push(job);
        }
    }

    /// All of them; `None` = there is none.
    pub(crate) fn take(&self) -> Option<Vec<JobId>> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!jobs.is_empty()).then(|| std::mem::take(&mut *jobs))
    }
}

/// Tells the ledger.
pub(crate) async fn tell(store: &Arc<dyn Store>, jobs: Vec<JobId>) {
    for attempt in 1..=TRIES {
        match store.gone(jobs.clone()).await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, attempt, jobs = jobs.len(), "the ledger was not told that messages are gone");
                sleep(PAUSE * attempt).await;
            }
        }
    }
}
