//! Whether the next claim asks for the kinds that this worker knows, or takes whatever stands in the line.
//!
//! Asking costs a little, so a worker that has met no stranger for a while and finds the line full takes what is there.
//! Should it then meet one, it gives it back and asks for a long time. What was put aside is found by asking only, so
//! whoever has nothing better to do asks.

use std::sync::atomic::{AtomicU32, Ordering};

use backshift_core::{Delivery, Kinds};

/// Full claims without a stranger before a new consumer stops asking.
const FIRST: u32 = 16;
/// The same once it has met one.
const AFTER_A_STRANGER: u32 = 4096;
/// Of so many full claims one asks all the same: what was put aside must not wait for the end of a long line.
const NOW_AND_THEN: u32 = 16;

pub(super) struct Care {
    kinds: Option<Kinds>,
    /// How many full claims still have to ask.
    asking: AtomicU32,
    full: AtomicU32,
}

impl Care {
    pub(super) fn new(kinds: Option<Kinds>) -> Self {
        Self { kinds, asking: AtomicU32::new(FIRST), full: AtomicU32::new(0) }
    }

    /// The kinds to ask for now; `None` = take what is there.
    pub(super) fn kinds(&self) -> Option<Kinds> {
        let now_and_then = self.full.load(Ordering::Relaxed).is_multiple_of(NOW_AND_THEN);
        self.kinds.clone().filter(|_| now_and_then || self.asking.load(Ordering::Relaxed) > 0)
    }

    /// What this worker knows, whenever that costs nothing.
    pub(super) fn all(&self) -> Option<&Kinds> {
        self.kinds.as_ref()
    }

    pub(super) fn knows(&self, delivery: &Delivery) -> bool {
        let Some(kinds) = &self.kinds else { return true };
        delivery.job.as_ref().is_ok_and(|job| kinds.contains(&job.kind))
    }

    /// A claim took so many of the jobs that it wanted.
    pub(super) fn claimed(&self, jobs: usize, wanted: usize) {
        match jobs < wanted {
            true => self.full.store(0, Ordering::Relaxed),
            false => {
                self.full.fetch_add(1, Ordering::Relaxed);
                let one_less = |left: u32| left.checked_sub(1);
                // Zero stays zero.
                let _ = self.asking.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            }
        }
    }

    pub(super) fn met_a_stranger(&self) {
        self.asking.store(AFTER_A_STRANGER, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_with_plenty_to_do_stops_asking_and_asks_again_when_it_meets_a_stranger() {
        let care = Care::new(Some(Kinds::default()));
        for _ in 0..FIRST {
            assert!(care.kinds().is_some(), "a new consumer knows nothing of its queue");
            care.claimed(4, 4);
        }
        let asked = |care: &Care| {
            let rounds = (0..160).map(|_| {
                let asks = care.kinds().is_some();
                care.claimed(4, 4);
                asks
            });
            rounds.filter(|asks| *asks).count()
        };
        assert_eq!(asked(&care), 10, "one in sixteen");
        care.met_a_stranger();
        assert_eq!(asked(&care), 160);
        let care = Care::new(None);
        assert!(care.kinds().is_none(), "whoever takes whatever comes never asks");
    }

    #[test]
    fn a_worker_that_got_less_than_it_wanted_asks() {
        let care = Care::new(Some(Kinds::default()));
        (0..FIRST + 5).for_each(|_| care.claimed(4, 4));
        assert!(care.kinds().is_none());
        care.claimed(3, 4);
        assert!(care.kinds().is_some());
    }
}
