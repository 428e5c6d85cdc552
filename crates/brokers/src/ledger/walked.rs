//! Where in its queue the last claim ended, so that the next one need not walk past everything that was taken.
//!
//! Entries that were taken stay in the index until no snapshot can see them: with one old snapshot about, a walk from
//! the beginning meets all of them, every time, however short the queue is. Jobs that come in before the place are found by
//! the next whole walk.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backshift_core::Envelope;
use backshift_store::ledger::Place;

/// A whole walk is due after this long.
const WHOLE_AFTER: Duration = Duration::from_millis(250);
/// ... or after so many times its own length, if that is longer.
const SHARE: u32 = 10;
/// ... and after this long whatever it took: it may have waited for a connection.
const LONGEST: Duration = Duration::from_secs(5);
/// A walk that is no longer than this may follow at once where a claim from its place found nothing.
const CHEAP: Duration = Duration::from_millis(10);
/// A job may have been accepted so much before another one and be seen after it: its transaction ended later.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Walked(Mutex<State>);

#[derive(Default)]
struct State {
    place: Option<Place>,
    whole: Option<Whole>,
}

/// The last walk from the beginning.
#[derive(Clone, Copy)]
struct Whole {
    ended: Instant,
    took: Duration,
}

impl Whole {
    /// So long after it the next one may begin.
    fn pause(self) -> Duration {
        if self.took <= CHEAP { Duration::ZERO } else { (self.took * SHARE).min(LONGEST) }
    }

    fn left(self, pause: Duration) -> Duration {
        (self.ended + pause).saturating_duration_since(Instant::now())
    }
}

impl Walked {
    /// Where the next claim begins; `None` = at the beginning.
    pub(super) fn next(&self) -> Option<Place> {
        let state = self.state();
        let whole_is_due = |whole: Whole| whole.left(whole.pause().max(WHOLE_AFTER)).is_zero();
        state.place.filter(|_| state.whole.is_some_and(|whole| !whole_is_due(whole)))
    }

    /// For how long a claim that found nothing from its place has to wait for a walk from the beginning.
    pub(super) fn patience(&self) -> Duration {
        self.state().whole.map_or(Duration::ZERO, |whole| whole.left(whole.pause()))
    }

    /// A claim ended at this job, if it took any, and took all that it wanted or not; `whole` = how long a walk from the beginning
    /// took.
    pub(super) fn ended(&self, last: Option<&Envelope>, full: bool, whole: Option<Duration>) {
        let mut state = self.state();
        if let Some(job) = last {
            let at = job.run_at.unwrap_or(job.created_at);
            // A long queue was in order before the claim; what comes into a short one comes now.
            let run_at = if full { at } else { at.checked_sub(SLACK).unwrap_or(at) };
            state.place = Some(Place { priority: job.priority, run_at });
        }
        if let Some(took) = whole {
            state.whole = Some(Whole { ended: Instant::now(), took });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::{Kind, QueueName, Timestamp};

    use super::*;

    fn job() -> Envelope {
        let at = "2026-12-01T12:00:10Z".parse().unwrap();
        Envelope::new(Kind::new("k").unwrap(), QueueName::new("q").unwrap(), "", at)
    }

    fn place(at: &str) -> Option<Place> {
        Some(Place { priority: 0, run_at: at.parse::<Timestamp>().unwrap() })
    }

    #[test]
    fn the_next_claim_goes_on_until_a_whole_walk_is_due() {
        let walked = Walked::default();
        walked.ended(Some(&job()), true, None);
        assert_eq!(walked.next(), None, "never walked whole");
        walked.ended(Some(&job()), true, Some(Duration::from_secs(60)));
        assert_eq!(walked.next(), place("2026-12-01T12:00:10Z"));
        walked.ended(None, false, None);
        assert_eq!(walked.next(), place("2026-12-01T12:00:10Z"), "what was taken still lies before it");
        walked.ended(Some(&job()), false, None);
        assert_eq!(
            walked.next(),
            place("2026-12-01T12:00:09Z"),
            "a short queue is looked at a little before its end"
        );
    }

    #[test]
    fn who_finds_nothing_walks_at_once_where_that_is_cheap_and_else_later() {
        let walked = Walked::default();
        assert_eq!(walked.patience(), Duration::ZERO);
        walked.ended(None, false, Some(CHEAP));
        assert_eq!(walked.patience(), Duration::ZERO);
        walked.ended(None, false, Some(Duration::from_millis(400)));
        let left = walked.patience();
        assert!(left > Duration::ZERO && left <= Duration::from_secs(4), "{left:?}");
        walked.ended(None, false, Some(Duration::from_secs(60)));
        assert!(walked.patience() <= LONGEST);
    }
}
