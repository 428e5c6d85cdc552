//! Looking at jobs and steering single ones; many at once are `sweep`.

use async_trait::async_trait;

use super::error::StoreError;
use crate::{AttemptRecord, JobFilter, JobId, JobRecord, Page, State, record::Found};

/// Looking at jobs and steering single ones.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// One job, or `None`.
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// The starts of one job, oldest first, at most 200.
    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// Which of these jobs are over. At most 500 are asked for.
    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError>;

    /// One page of jobs, newest first.
    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError>;

    /// The same for a person who waits for it: looks at a bounded number of jobs from where the page begins, and says how far
    /// it looked when that was not far enough to fill the page.
    async fn search(&self, filter: &JobFilter, page: &Page) -> Result<Found, StoreError> {
        Ok(Found { jobs: self.list(filter, page).await?, looked: None })
    }

    /// Cancels a job that waits, asks a running one to stop; the state after the call.
    async fn cancel(&self, id: JobId) -> Result<State, StoreError>;

    /// Makes a retrying, scheduled, dead or cancelled job run now with fresh attempts; the state after the call.
    /// A job of a foreign broker is published again by the relay.
    async fn retry(&self, id: JobId) -> Result<State, StoreError>;
}
