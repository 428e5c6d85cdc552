//! A clock that follows tokio's time, so that paused and advanced time moves every part of a test together.

use backshift_core::{Clock, Timestamp};
use tokio::time::Instant;

/// Shows 2026-01-01T00:00:00Z when it is made, and from then on runs with tokio's clock.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
    start: Timestamp,
}

impl Default for TokioClock {
    fn default() -> Self {
        // 2026-01-01T00:00:00Z; in range, so the fallback is never used.
        Self::starting_at(Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl TokioClock {
    /// A clock that shows `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { origin: Instant::now(), start }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let passed = jiff::SignedDuration::try_from(self.origin.elapsed()).unwrap_or_default();
        self.start.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}
