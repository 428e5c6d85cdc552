//! What every worker does for the whole fleet: make due, rescue, forsake, prune. Safe from all of them at once.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{error::StoreError, hints::Hints};
use crate::{JobId, QueueName, record::Forsaken};

/// Finished rows are kept at least this long, whatever is asked (docs/contracts/probe.md).
pub const KEPT_AT_LEAST: Duration = Duration::from_secs(24 * 3600);

/// When the next job is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its time.
    pub at: Timestamp,
    /// How long that is from now, by the store's clock.
    pub wait: Duration,
}

/// What the scheduler, the rescuer and the pruner call. Safe to call from every worker at once.
#[async_trait]
pub trait Maintenance: Send + Sync + 'static {
    /// Makes due jobs of the SQL brokers available, at most `limit`, and wakes whoever waits for their queues; how many,
    /// and when the next one is due.
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError>;

    /// Hears when a job is scheduled that is due sooner than the others.
    fn dues(&self) -> Box<dyn Hints>;

    /// Returns jobs whose lease has ended (or whose holder's sign of life is gone), counting a crash and no attempt.
    async fn rescue(&self) -> Result<Rescued, StoreError>;

    /// Unfinished jobs of this queue whose message a foreign broker had, and of which nobody has given a sign for so long:
    /// their lease is over, or their time has come, and nothing happened. At most 1,000.
    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError>;

    /// Ends these jobs as dead and ambiguous, those that are still forsaken: their message is gone from the broker, and
    /// somebody else may have done what they ask for. How many.
    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError>;

    /// Deletes completed and cancelled rows that ended longer ago than `keep` ([`KEPT_AT_LEAST`]), at most `limit`.
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Deletes jobs that are dead for longer than `keep` (a day at least), at most `limit`.
    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// Rows of a domain that nobody needs any more: the pruner of a worker deletes them beside finished jobs.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// What ends here, such as `email_sends`: for the log.
    fn name(&self) -> &'static str;

    /// Deletes what is old enough, at most `limit` rows. Safe to call from every worker at once.
    async fn prune(&self, limit: u32) -> Result<u64, StoreError>;
}

/// What a rescue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rescued {
    /// Jobs that may run again.
    pub returned: u64,
    /// Jobs that are dead now with reason `crash-loop`.
    pub dead: u64,
}
