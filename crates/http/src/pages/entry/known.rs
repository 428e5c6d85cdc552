//! The networks whose programs sent the right name and password: bounded in number and time, and forgotten with the first wrong one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a network is known after it sent the right password last.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// So many are kept; one more is asked again each time.
const MOST: usize = 1000;

/// The networks whose programs sent the right password, and nothing wrong since.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Instant>>);

impl Known {
    /// Whether the network is known, for a request with the right password: it is known anew from now on, so that a program
    /// that asks all day does not need the store for it.
    pub(super) fn has(&self, network: &str) -> bool {
        self.has_at(network, Instant::now())
    }

    fn has_at(&self, network: &str, now: Instant) -> bool {
        let mut networks = self.networks();
        let Some(since) = networks.get_mut(network).filter(|since| now.duration_since(**since) < LASTS)
        else {
            return false;
        };
        *since = now;
        true
    }

    pub(super) fn add(&self, network: String) {
        let mut networks = self.networks();
        networks.retain(|_, since| since.elapsed() < LASTS);
        if networks.len() < MOST {
            networks.insert(network, Instant::now());
        }
    }

    pub(super) fn forget(&self, network: &str) {
        self.networks().remove(network);
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_that_are_known_are_bounded() {
        let known = Known::default();
        (0..=MOST).for_each(|n| known.add(n.to_string()));
        assert!(known.has("0") && !known.has(&MOST.to_string()));
        known.forget("0");
        assert!(!known.has("0"));
    }

    #[test]
    fn a_program_that_goes_on_asking_stays_known() {
        let known = Known::default();
        known.add("a".to_owned());
        known.add("silent".to_owned());
        let began = Instant::now();
        for half in 1..=4 {
            assert!(known.has_at("a", began + LASTS / 2 * half), "{half}");
        }
        assert!(!known.has_at("silent", began + LASTS));
    }
}
