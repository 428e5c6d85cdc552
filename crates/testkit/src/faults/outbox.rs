//! What a lying store accepts, and hands out to relays.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{Accepted, Envelope, JobId, StoreError, store::Outbox};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Outbox for FaultyStore {
    async fn accept(&self, broker: &str, mut batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError> {
        for envelope in &mut batch {
            match self.fault {
                StoreFault::ForgetsUniqueKeys => envelope.unique = None,
                StoreFault::ForgetsIdempotency => envelope.idempotency_key = None,
                _ => {}
            }
        }
        if self.has(StoreFault::KeepsUniqueKeys) {
            let mut answers = Vec::with_capacity(batch.len());
            for envelope in batch {
                match self.first_of_key(&envelope) {
                    Some(first) => answers.push(Accepted::Unique(first)),
                    None => answers.extend(self.honest.accept(broker, vec![envelope]).await?),
                }
            }
            return Ok(answers);
        }
        self.honest.accept(broker, batch).await
    }

    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError> {
        let hold = if self.has(StoreFault::HandsOutTwice) { Duration::ZERO } else { hold };
        self.honest.take_unpublished(broker, limit, hold).await
    }

    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError> {
        self.honest.mark_published(ids).await
    }
}
