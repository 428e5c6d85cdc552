//! What time it is. Code above the ports asks a [`Clock`], so that tests and the simulation own time.
//!
//! Leases are judged by the store's clock, never by this one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use jiff::Timestamp;
use tokio::time::Instant;

/// Tells the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// When something happened, by clocks that nobody sets: how long ago it was, the time that the machine was asleep
/// included (on Linux; elsewhere as far as the system's own steady clock counts it).
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    awake: Instant,
    since_boot: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { awake: Instant::now(), since_boot: since_boot() }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Duration {
        self.awake.elapsed().max(since_boot().saturating_sub(self.since_boot))
    }
}

/// The steady clock of a program stands still while the machine is suspended; this one goes on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn since_boot() -> Duration {
    Duration::ZERO
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock to `now`, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
