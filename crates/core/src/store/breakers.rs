//! Circuit breakers, one a dependency, shared by the fleet.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;
use crate::policy::BreakerPolicy;

/// Whether a call to a dependency may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The circuit is closed.
    Go,
    /// It is half open and this caller holds the one probe, or it returns and this is one of the calls that it lets
    /// through: how it ends must be told.
    Probe,
    /// It is open: snooze for about this long.
    Wait(Duration),
}

/// A breaker as shown to people.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerRecord {
    /// The dependency.
    pub name: String,
    /// `closed`, `open`, `half-open`, `returning`.
    pub state: String,
    /// How many calls an interval lets through now, while it returns.
    pub returning: Option<u32>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when it has not been closed; `None` = it is.
    pub since: Option<Timestamp>,
    /// When the next probe may go.
    pub open_until: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
}

/// Circuit breakers, one a dependency, shared by the fleet.
#[async_trait]
pub trait Breakers: Send + Sync + 'static {
    /// Asks before a call. A probe is handed to one caller for at most a minute. After a probe that succeeded the circuit
    /// returns step by step: 2, 4, 8 … calls an interval while they succeed, then it is closed.
    async fn admit(&self, name: &str) -> Result<Admission, StoreError>;

    /// Tells how calls ended: how many succeeded, how many failed in a row at the end, and the last error.
    async fn report(
        &self,
        name: &str,
        policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError>;

    /// Every breaker that was ever used.
    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError>;
}
