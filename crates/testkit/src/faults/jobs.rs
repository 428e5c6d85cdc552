//! How a lying store finds and lists.

use async_trait::async_trait;
use backshift_core::{AttemptRecord, JobFilter, JobId, JobRecord, Page, State, StoreError, store::Jobs};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Jobs for FaultyStore {
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.honest.find(id).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.honest.attempts(id).await
    }

    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        self.honest.over(ids).await
    }

    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError> {
        let mut rows = self.honest.list(filter, page).await?;
        if self.has(StoreFault::SkipsRows) && rows.len() == page.limit as usize {
            rows.remove(rows.len() / 2);
        }
        Ok(rows)
    }

    async fn cancel(&self, id: JobId) -> Result<State, StoreError> {
        self.honest.cancel(id).await
    }

    async fn retry(&self, id: JobId) -> Result<State, StoreError> {
        self.honest.retry(id).await
    }
}
