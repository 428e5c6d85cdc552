//! Refused sign-ins in the log: whoever goes on knocking after the limit writes no line with each knock.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// One line in so long.
const PAUSE: Duration = Duration::from_secs(10);

/// When the last line was written, and how many were not since.
#[derive(Default)]
pub(super) struct Refusals(Mutex<(Option<Instant>, u64)>);

impl Refusals {
    /// Whether this refusal is written down: how many others were not since the last one that was.
    pub(super) fn worth_a_line(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (written, others) = &mut *last;
        if written.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            *others += 1;
            return None;
        }
        *written = Some(now);
        Some(std::mem::take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_a_line_now_and_then_that_counts_the_others() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.worth_a_line(begin), Some(0));
        assert!((0..1000).all(|_| refusals.worth_a_line(begin + PAUSE / 2).is_none()));
        assert_eq!(refusals.worth_a_line(begin + PAUSE), Some(1000));
        assert_eq!(refusals.worth_a_line(begin + PAUSE * 2), Some(0));
    }
}
