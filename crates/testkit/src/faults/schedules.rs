//! Who won a tick, as a lying store tells it.

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Schedules};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Schedules for FaultyStore {
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.honest.last_tick(name, now).await
    }

    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError> {
        Ok(self.honest.advance(name, from, to).await? || self.has(StoreFault::TicksTwice))
    }

    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.honest.schedules().await
    }
}
