//! Who won a tick of a schedule.

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;

/// Cron: each tick once, however many instances run.
#[async_trait]
pub trait Schedules: Send + Sync + 'static {
    /// The slot that was enqueued last; registers the schedule at `now` when it is new.
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError>;

    /// Moves the last slot from `from` to `to`; `false` = another instance did.
    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError>;

    /// Name and last slot of every schedule.
    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError>;
}
