//! What goes wrong for everybody at once: outages, the calm, and the bound on all calls of a seed.
//!
//! One line of a caller asks it at every call; the line's own faults come on top.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::memory::Fault;

/// More calls than this in one seed mean that something spins.
const MOST_CALLS: u64 = 1_500_000;

#[derive(Debug, Default)]
struct Sky {
    calm: bool,
    store_away: Option<Outage>,
    broker_away: Option<Outage>,
    dependency_away: Option<Instant>,
    calls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    until: Instant,
    /// Calls get no answer until it is over; else they are refused at once.
    silent: bool,
}

/// What goes wrong for everybody. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather(Arc<Mutex<Sky>>);

impl Weather {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn store_is_away(&self, until: Instant, silent: bool) {
        self.sky().store_away = Some(Outage { until, silent });
    }

    pub(super) fn broker_is_away(&self, until: Instant, silent: bool) {
        self.sky().broker_away = Some(Outage { until, silent });
    }

    pub(super) fn dependency_is_away(&self, until: Instant) {
        self.sky().dependency_away = Some(until);
    }

    pub(super) fn is_dependency_away(&self) -> bool {
        let sky = self.sky();
        !sky.calm && sky.dependency_away.is_some_and(|until| until > Instant::now())
    }

    /// From now on nothing goes wrong.
    pub(super) fn clear_up(&self) {
        let mut sky = self.sky();
        (sky.calm, sky.store_away, sky.broker_away) = (true, None, None);
    }

    pub(super) fn is_calm(&self) -> bool {
        self.sky().calm
    }

    /// Whether there were so many calls that something must spin.
    pub(super) fn is_exhausted(&self) -> bool {
        self.sky().calls > MOST_CALLS
    }

    pub(super) fn calls(&self) -> u64 {
        self.sky().calls
    }

    /// What the weather does to one call.
    pub(super) fn strike(&self, call: &str) -> Fault {
        let mut sky = self.sky();
        sky.calls += 1;
        if sky.calls > MOST_CALLS {
            return Fault::Hang;
        }
        let outage = if call.starts_with("store.") { sky.store_away } else { sky.broker_away };
        let now = Instant::now();
        match outage.filter(|outage| outage.until > now) {
            Some(outage) if outage.silent => Fault::Delay(outage.until - now),
            Some(_) => Fault::Before,
            None => Fault::None,
        }
    }
}
