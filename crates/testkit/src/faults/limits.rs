//! What a lying store grants.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    Lease, StoreError,
    store::{Limits, Rate},
};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Limits for FaultyStore {
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError> {
        let wait = self.honest.reserve(key, rate).await?;
        Ok(wait.filter(|_| !self.has(StoreFault::GrantsEverything)))
    }

    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError> {
        Ok(self.honest.occupy(key, slots, lease).await? || self.has(StoreFault::PlacesEverybody))
    }

    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError> {
        self.honest.vacate(key, lease).await
    }
}
