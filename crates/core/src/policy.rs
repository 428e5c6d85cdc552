//! The numbers of the limits and the breakers that the fleet shares.

use std::time::Duration;

/// How often something may happen.
///
/// ```
/// # use backshift_core::store as backshift;
/// use backshift::Rate;
/// assert_eq!(Rate::per_minute(90).per.as_secs(), 60);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// This many …
    pub count: u32,
    /// … in this time, spread evenly after a burst of `count`.
    pub per: Duration,
}

impl Rate {
    /// So many a second.
    pub const fn per_second(count: u32) -> Self {
        Self { count, per: Duration::from_secs(1) }
    }

    /// So many a minute.
    pub const fn per_minute(count: u32) -> Self {
        Self { count, per: Duration::from_secs(60) }
    }

    /// So many an hour.
    pub const fn per_hour(count: u32) -> Self {
        Self { count, per: Duration::from_secs(3600) }
    }
}

/// When a circuit opens and how it closes again.
///
/// ```
/// # use backshift_core::store as backshift;
/// # use std::time::Duration;
/// use backshift::BreakerPolicy;
///
/// let patient = BreakerPolicy { failures: 20, ..BreakerPolicy::default() };
/// assert_eq!(patient.open_for, Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerPolicy {
    /// This many failures in a row open it.
    pub failures: u32,
    /// How long it stays open before a probe; doubles with each failed probe.
    pub open_for: Duration,
    /// The longest time that it stays open.
    pub open_at_most: Duration,
}

/// Five failures in a row open it for 10 s, and for 5 minutes at most.
impl Default for BreakerPolicy {
    fn default() -> Self {
        let (open_for, open_at_most) = (Duration::from_secs(10), Duration::from_secs(300));
        Self { failures: 5, open_for, open_at_most }
    }
}
