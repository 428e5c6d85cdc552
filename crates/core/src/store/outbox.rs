//! Jobs that the store has accepted and a foreign broker has not: the store keeps what that broker cannot promise.

use std::time::Duration;

use async_trait::async_trait;

use super::error::StoreError;
use crate::{Accepted, Envelope, JobId};

/// Jobs that are accepted in the store and still have to reach a foreign broker.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Accepts jobs for a broker: checks ids, idempotency keys and unique keys. Rows due now are published by the
    /// caller and then marked; what stays unmarked is the relay's.
    async fn accept(&self, broker: &str, batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError>;

    /// Due rows that nobody published within `hold`, taken for `hold` by this caller. Dead jobs are among them whose
    /// message was handed over: whoever gets it once more brings it to the broker's own dead letters.
    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError>;

    /// The broker confirmed these.
    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError>;
}
