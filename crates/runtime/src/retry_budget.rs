//! Keeps retries from drowning a dependency that is coming back: retries cost tokens, successes earn them.
//!
//! Out of budget a retry is stretched, never refused: an accepted job is not lost.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// The full bucket.
pub const TOKENS: i64 = 500;
/// What one retry costs.
pub const RETRY_COST: i64 = 5;
/// By how much a delay grows when the bucket is empty.
pub const STRETCH: u32 = 4;

/// A token bucket, one a pool.
#[derive(Debug)]
pub struct RetryBudget(AtomicI64);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicI64::new(TOKENS))
    }
}

impl RetryBudget {
    /// A job succeeded: one token back.
    pub fn success(&self) {
        let earn = |tokens: i64| (tokens < TOKENS).then_some(tokens + 1);
        // A full bucket stays full.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }

    /// Pays for one retry; the delay that it may have: its own, or a stretched one of at most `cap`.
    pub fn retry(&self, delay: Duration, ceiling: Duration, cap: Duration) -> Duration {
        let pay = |tokens: i64| (tokens >= RETRY_COST).then_some(tokens - RETRY_COST);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay) {
            Ok(_) => delay,
            Err(_) => delay.max(delay.saturating_add(ceiling).saturating_mul(STRETCH).min(cap)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_hundred_retries_are_free_and_then_delays_stretch() {
        let budget = RetryBudget::default();
        for _ in 0..100 {
            assert_eq!(budget.retry(SECOND, SECOND, HOUR), SECOND);
        }
        assert_eq!(budget.retry(SECOND, SECOND, HOUR), SECOND * 8);
        assert_eq!(budget.retry(SECOND, SECOND, SECOND * 3), SECOND * 3);
    }

    #[test]
    fn five_successes_pay_for_one_retry_and_the_bucket_never_overflows() {
        let budget = RetryBudget::default();
        (0..1000).for_each(|_| budget.success());
        (0..100).for_each(|_| assert_eq!(budget.retry(SECOND, SECOND, HOUR), SECOND));
        (0..4).for_each(|_| budget.success());
        assert!(budget.retry(SECOND, SECOND, HOUR) > SECOND);
        budget.success();
        assert_eq!(budget.retry(SECOND, SECOND, HOUR), SECOND);
        assert!(budget.retry(SECOND, SECOND, HOUR) > SECOND);
    }
}
