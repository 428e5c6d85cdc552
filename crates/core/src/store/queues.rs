//! Queues as a whole. A count has a bound: no page may read a million rows.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{error::StoreError, hints::Hints};
use crate::{Kind, QueueCounts, QueueName, presence::ParkedKind};

/// Dead and cancelled jobs that are counted one by one. Where there are more, each queue gets an equal share of them: counting a
/// million reads a million rows, and of so many nobody needs to know how many.
pub const OVER_COUNTED: u32 = 100_000;
/// The same of jobs that may run now.
pub const WAITING_COUNTED: u32 = 200_000;
/// The newest jobs, among which the completed ones are counted.
pub const NEWEST_COUNTED: u32 = 30_000;

/// Queues as a whole.
#[async_trait]
pub trait Queues: Send + Sync + 'static {
    /// Counts by state of every queue that has a row, sorted by name. Finished jobs count as far as they are kept, completed
    /// ones for a day. Every count has a bound that all queues share, such as [`OVER_COUNTED`]: where it ends the counting,
    /// [`QueueCounts::more`] says so.
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError>;

    /// Stops or resumes the taking of jobs from a queue, fleet-wide; says whether that changed anything.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError>;

    /// The queues that are paused.
    async fn paused(&self) -> Result<Vec<QueueName>, StoreError>;

    /// Waiting jobs whose kind nobody knew who looked at them, by queue and kind; at most [`ParkedKind::LISTED`]. What a
    /// worker that knows the kind has not got round to is among them.
    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError>;

    /// The kinds of the jobs that are next in each of these queues, as far as the store knows them: of the first few. A queue of
    /// which it knows none may be missing.
    async fn next_kinds(&self, queues: &[QueueName]) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
        let _ = queues;
        Ok(BTreeMap::new())
    }

    /// Hears when a person wishes something: a running job cancelled, a queue paused or resumed.
    fn wishes(&self) -> Box<dyn Hints>;
}
