//! How a lying store tidies up.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    JobId, QueueName, StoreError,
    store::{Due, Forsaken, Hints, Maintenance, Rescued},
};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Maintenance for FaultyStore {
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError> {
        self.honest.promote(limit).await
    }

    fn dues(&self) -> Box<dyn Hints> {
        self.honest.dues()
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        if self.has(StoreFault::RescuesByAge) {
            self.take_over().await?;
        }
        self.honest.rescue().await
    }

    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError> {
        let after = if self.has(StoreFault::ForsakesWhatRuns) { Duration::ZERO } else { after };
        self.honest.forsaken(broker, queue, after).await
    }

    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError> {
        let after = if self.has(StoreFault::ForsakesWhatRuns) { Duration::ZERO } else { after };
        self.honest.forsake(jobs, after).await
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.honest.prune(keep, limit).await
    }

    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.honest.prune_dead(keep, limit).await
    }
}
