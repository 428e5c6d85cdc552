//! Where in a long queue the last claim ended, so that the next one need not walk past everything that was taken.
//!
//! Entries that were taken stay in the index until no snapshot can see them: with one old snapshot about, a walk from
//! the beginning meets all of them, every time. Jobs that come in before the place are found by the next whole walk.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use backshift_core::Envelope;
use backshift_store::ledger::Place;

/// A whole walk is due after this long.
const WHOLE_AFTER: Duration = Duration::from_millis(250);
/// ... or after so many times its own length, if that is longer.
const SHARE: u32 = 10;

#[derive(Default)]
pub(super) struct Walked(Mutex<State>);

#[derive(Default)]
struct State {
    place: Option<Place>,
    whole_due: Option<Instant>,
}

impl Walked {
    /// Where the next claim begins; `None` = at the beginning.
    pub(super) fn next(&self) -> Option<Place> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.place.filter(|_| state.whole_due.is_some_and(|due| Instant::now() < due))
    }

    /// A claim ended at this job, or took all there was; `whole` = how long a walk from the beginning took.
    pub(super) fn ended(&self, last: Option<&Envelope>, whole: Option<Duration>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.place =
            last.map(|job| Place { priority: job.priority, run_at: job.run_at.unwrap_or(job.created_at) });
        if let Some(took) = whole {
            state.whole_due = Some(Instant::now() + WHOLE_AFTER.max(took * SHARE));
        }
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::{Kind, QueueName, Timestamp};

    use super::*;

    #[test]
    fn the_next_claim_goes_on_until_a_whole_walk_is_due_or_the_queue_is_short() {
        let walked = Walked::default();
        let job =
            Envelope::new(Kind::new("k").unwrap(), QueueName::new("q").unwrap(), "", Timestamp::UNIX_EPOCH);
        walked.ended(Some(&job), None);
        assert_eq!(walked.next(), None, "never walked whole");
        walked.ended(Some(&job), Some(Duration::from_secs(60)));
        assert_eq!(walked.next(), Some(Place { priority: 0, run_at: Timestamp::UNIX_EPOCH }));
        walked.ended(None, None);
        assert_eq!(walked.next(), None, "the claim took all there was");
    }
}
