//! How long to wait before the next attempt. Pure: the caller brings the random numbers.
//!
//! Transient errors get full jitter, because it spreads best; throttling gets equal jitter, because full jitter
//! collapses to nearly zero just when the other side asked for a pause.

use std::time::Duration;

use backshift_core::Backoff;
use rand::{Rng, RngExt};

/// `base · 2^(attempt-1)`, at most `cap`; `attempt` is the one that failed.
pub fn ceiling(backoff: Backoff, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(30);
    backoff.base.saturating_mul(1 << doublings).min(backoff.cap)
}

/// Full jitter: anything from nothing to the ceiling.
pub fn transient(backoff: Backoff, attempt: u32, rng: &mut impl Rng) -> Duration {
    between(Duration::ZERO, ceiling(backoff, attempt), rng)
}

/// Equal jitter: at least half of the ceiling, and at least what the other side asked for, plus up to a tenth.
pub fn throttled(backoff: Backoff, attempt: u32, after: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let ceiling = ceiling(backoff, attempt);
    let own = between(ceiling / 2, ceiling, rng);
    let asked = after.map(|after| between(after, after + after / 10, rng)).unwrap_or_default();
    own.max(asked)
}

/// A delay between three quarters and five quarters of `time`, so that a fleet does not act in step.
pub fn around(time: Duration, rng: &mut impl Rng) -> Duration {
    between(time * 3 / 4, time * 5 / 4, rng)
}

fn between(low: Duration, high: Duration, rng: &mut impl Rng) -> Duration {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.random_range(micros(low)..=micros(high.max(low))))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(5), cap: Duration::from_secs(3600) };

    #[test]
    fn the_ceiling_doubles_and_stops_at_the_cap() {
        let seconds = |attempt| ceiling(BACKOFF, attempt).as_secs();
        assert_eq!([seconds(1), seconds(2), seconds(3), seconds(11)], [5, 10, 20, 3600]);
        assert_eq!(seconds(u32::MAX), 3600);
    }

    #[test]
    fn full_jitter_covers_the_whole_range() {
        let mut rng = SmallRng::seed_from_u64(1);
        let delays: Vec<_> = (0..1000).map(|_| transient(BACKOFF, 3, &mut rng)).collect();
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(20)));
        assert!(delays.iter().any(|delay| *delay < Duration::from_secs(2)));
        assert!(delays.iter().any(|delay| *delay > Duration::from_secs(18)));
    }

    #[test]
    fn throttling_never_waits_less_than_half_nor_less_than_asked() {
        let mut rng = SmallRng::seed_from_u64(2);
        for _ in 0..1000 {
            assert!(throttled(BACKOFF, 3, None, &mut rng) >= Duration::from_secs(10));
            let asked = Some(Duration::from_secs(100));
            let delay = throttled(BACKOFF, 3, asked, &mut rng);
            assert!(delay >= Duration::from_secs(100) && delay <= Duration::from_secs(110));
        }
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let draw = |seed| {
            let mut rng = SmallRng::seed_from_u64(seed);
            (0..20).map(|attempt| transient(BACKOFF, attempt, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
