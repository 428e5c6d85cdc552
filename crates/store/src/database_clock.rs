//! What the database's clock says, told by this machine's clock and how far they were apart when last compared.
//!
//! Due times are the database's. A machine whose clock is half a minute wrong would take a sooner job for a later one, and the
//! other way round.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{Moment, Timestamp};

/// After so long the clocks may have drifted apart, or somebody has set one.
const STALE: Duration = Duration::from_secs(60);

/// This machine's own clock until it was compared.
#[derive(Debug, Default)]
pub(crate) struct DatabaseClock(Mutex<Option<(Timestamp, Moment)>>);

impl DatabaseClock {
    /// It says this now.
    pub(crate) fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Moment::now()));
    }

    /// What it says now.
    pub(crate) fn now(&self) -> Timestamp {
        let compared = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = compared.and_then(|(then, at)| then.checked_add(at.elapsed()).ok());
        since.unwrap_or_else(Timestamp::now)
    }

    pub(crate) fn is_stale(&self) -> bool {
        let compared = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        compared.is_none_or(|(_, at)| at.elapsed() > STALE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_from_what_it_was_told_and_not_from_this_machines_clock() {
        let clock = DatabaseClock::default();
        assert!(clock.is_stale() && clock.now() <= Timestamp::now());
        let told = Timestamp::from_second(1_000).unwrap();
        clock.set(told);
        assert!(!clock.is_stale());
        let first = clock.now();
        assert!(first >= told && clock.now() >= first && first < Timestamp::from_second(2_000).unwrap());
    }
}
