//! The networks whose programs sent the right name and password: bounded in number and time, and forgotten with the first wrong one.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a network is known that sent the right password.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// So many are kept; one more is asked again each time.
const MOST: usize = 1000;

/// The networks whose programs sent the right password, and nothing wrong since.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<String, Instant>>);

impl Known {
    pub(super) fn has(&self, network: &str) -> bool {
        self.networks().get(network).is_some_and(|since| since.elapsed() < LASTS)
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
}
