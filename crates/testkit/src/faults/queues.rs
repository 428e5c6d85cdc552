//! What a lying store says of its queues.

use std::collections::BTreeMap;

use async_trait::async_trait;
use backshift_core::{
    Kind, QueueCounts, QueueName, StoreError,
    store::{Hints, NoHints, ParkedKind, Queues},
};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Queues for FaultyStore {
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.honest.counts().await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
        self.honest.pause(queue, paused).await
    }

    async fn paused(&self) -> Result<Vec<QueueName>, StoreError> {
        let paused = self.honest.paused().await?;
        Ok(paused.into_iter().filter(|_| !self.has(StoreFault::HidesPauses)).collect())
    }

    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError> {
        if self.has(StoreFault::ParksInSilence) {
            return Ok(Vec::new());
        }
        self.honest.parked().await
    }

    async fn next_kinds(&self, queues: &[QueueName]) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
        self.honest.next_kinds(queues).await
    }

    fn wishes(&self) -> Box<dyn Hints> {
        match self.has(StoreFault::TellsNobody) {
            true => Box::new(NoHints),
            false => self.honest.wishes(),
        }
    }
}
