//! What a lying store does to many jobs at once, and what it tells of who did it.

use async_trait::async_trait;
use backshift_core::{
    JobFilter, JobId, QueueName, State, StoreError, Timestamp,
    sweep::{Causes, Deed, Hand, HandRecord, Matching, Sweep, SweepRecord, Sweeps, Swept},
};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Sweeps for FaultyStore {
    async fn matching(&self, filter: &JobFilter) -> Result<Matching, StoreError> {
        self.honest.matching(filter).await
    }

    async fn begin_sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        let mut sweep = sweep.clone();
        if self.has(StoreFault::BeginsAnew) {
            sweep.words = format!("{} {}", sweep.words, uuid::Uuid::now_v7());
        }
        self.honest.begin_sweep(&sweep).await
    }

    async fn sweep(&self, id: uuid::Uuid, hand: &Hand) -> Result<Swept, StoreError> {
        self.honest.sweep(id, hand).await
    }

    async fn find_sweep(&self, id: uuid::Uuid) -> Result<Option<SweepRecord>, StoreError> {
        self.honest.find_sweep(id).await
    }

    async fn act(&self, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
        self.honest.act(deed, job, hand).await
    }

    async fn turn(&self, queue: &QueueName, paused: bool, hand: &Hand) -> Result<bool, StoreError> {
        self.honest.turn(queue, paused, hand).await
    }

    async fn hands(&self, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
        match self.has(StoreFault::ForgetsHands) {
            true => Ok(Vec::new()),
            false => self.honest.hands(job).await,
        }
    }

    async fn all_hands(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
        match self.has(StoreFault::ForgetsHands) {
            true => Ok(Vec::new()),
            false => self.honest.all_hands(before, limit).await,
        }
    }

    async fn causes(&self, filter: &JobFilter) -> Result<Causes, StoreError> {
        self.honest.causes(filter).await
    }
}
