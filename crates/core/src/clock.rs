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
    asleep: Duration,
}

/// A shorter sleep cannot be told from the time that passes between reading one clock and the other. The bound also keeps real
/// time out of tests that own the clock.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { awake: Instant::now(), asleep: asleep() }
    }

    /// How long ago it was.
    pub fn elapsed(&self) -> Duration {
        let slept = asleep().saturating_sub(self.asleep);
        self.awake.elapsed() + if slept < SHORTEST_SLEEP { Duration::ZERO } else { slept }
    }
}

/// How long the machine has been suspended since it started: the steady clock of a program stands still meanwhile.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn asleep() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = |clock| {
        let now = clock_gettime(clock);
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
    };
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn asleep() -> Duration {
    Duration::ZERO
}

/// A clock that stands still until a test moves it.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at("2026-11-30T12:00:00Z".parse().unwrap());
/// clock.set("2026-12-01T12:00:00Z".parse().unwrap());
/// assert!(clock.now() > "2026-11-30T12:00:00Z".parse::<Timestamp>().unwrap());
/// ```
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
