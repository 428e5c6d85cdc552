//! A word that something may have changed. It may be lost: nobody may wait for it alone.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Hears that something may have changed, in this process and, where the database can tell, in others. A hint may be
/// lost, so whoever waits looks now and then all the same.
#[async_trait]
pub trait Hints: Send {
    /// Waits for a hint, at most so long; `true` = one came. A hint since the last call counts. One about a time counts
    /// only when that time is before `next`, for which this caller wakes anyway.
    async fn wait(&mut self, next: Option<Timestamp>, at_most: Duration) -> bool;
}

/// Hears nothing: a store without hints is asked again and again.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHints;

#[async_trait]
impl Hints for NoHints {
    async fn wait(&mut self, _: Option<Timestamp>, at_most: Duration) -> bool {
        tokio::time::sleep(at_most).await;
        false
    }
}
