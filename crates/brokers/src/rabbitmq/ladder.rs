//! The delay ladder: fixed times to live, because a queue expires messages only at its head.
//!
//! A delay is a chain of steps, each rounded up: a job may come late (by at most a quarter, or a second), never early.

use std::time::Duration;

use backshift_core::QueueName;

/// The steps: label of the queue's name and its time to live.
pub const STEPS: [(&str, Duration); 7] = [
    ("1s", Duration::from_secs(1)),
    ("5s", Duration::from_secs(5)),
    ("30s", Duration::from_secs(30)),
    ("2m", Duration::from_secs(120)),
    ("10m", Duration::from_secs(600)),
    ("1h", Duration::from_secs(3600)),
    ("6h", Duration::from_secs(6 * 3600)),
];

/// The most that a chain of steps is longer than the delay that it stands for, and a little for the way.
pub(super) fn lateness(delay: Duration) -> Duration {
    (delay / 4).max(Duration::from_secs(1)) + Duration::from_millis(250)
}

/// The next step of a delay: the shortest that covers it with little excess, else the longest that fits into it.
pub(super) fn step(remaining: Duration) -> Option<(&'static str, Duration)> {
    if remaining.is_zero() {
        return None;
    }
    let excess = (remaining / 4).max(Duration::from_secs(1));
    let covering = STEPS.iter().find(|(_, ttl)| *ttl >= remaining && *ttl - remaining <= excess);
    let fitting = || STEPS.iter().rev().find(|(_, ttl)| *ttl <= remaining);
    Some(*covering.or_else(fitting).unwrap_or(&STEPS[0]))
}

/// The queue of one step.
pub(super) fn queue(of: &QueueName, label: &str) -> String {
    format!("{of}.retry.{label}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a chain takes when every step is exact, and how many steps it has.
    fn walk(delay: Duration) -> (Duration, u32) {
        let (mut passed, mut hops) = (Duration::ZERO, 0);
        while let Some((_, ttl)) = step(delay.saturating_sub(passed)) {
            passed += ttl;
            hops += 1;
        }
        (passed, hops)
    }

    #[test]
    fn never_early_and_hardly_late() {
        let mut delay = Duration::from_millis(1);
        while delay < Duration::from_secs(30 * 3600) {
            let (passed, hops) = walk(delay);
            assert!(passed >= delay, "{delay:?} came after {passed:?}");
            assert!(
                passed - delay <= (delay / 4).max(Duration::from_secs(1)),
                "{delay:?} came after {passed:?}"
            );
            assert!(hops <= 16, "{delay:?} takes {hops} hops");
            delay = delay * 13 / 11 + Duration::from_millis(7);
        }
    }

    #[test]
    fn exact_steps_are_taken_whole_and_nothing_waits_for_nothing() {
        for (label, ttl) in STEPS {
            assert_eq!(step(ttl), Some((label, ttl)));
        }
        assert_eq!(step(Duration::ZERO), None);
        assert_eq!(step(Duration::from_secs(5000)).unwrap().0, "1h");
    }
}
