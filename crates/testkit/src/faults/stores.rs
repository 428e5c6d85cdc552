//! A harness whose stores have one planted fault.

use std::sync::Arc;

use async_trait::async_trait;

use super::{store::FaultyStore, store_fault::StoreFault};
use crate::conformance::{OpenStore, StoreHarness};

/// The stores of another harness, with a fault.
#[derive(Debug, Clone)]
pub struct FaultyStores<H> {
    /// The honest harness.
    pub honest: H,
    /// The fault.
    pub fault: StoreFault,
}

#[async_trait]
impl<H: StoreHarness> StoreHarness for FaultyStores<H> {
    fn name(&self) -> String {
        format!("{}+{:?}", self.honest.name(), self.fault)
    }

    async fn store(&self) -> Result<OpenStore, String> {
        let OpenStore { store, guard } = self.honest.store().await?;
        Ok(OpenStore { store: Arc::new(FaultyStore::new(store, self.fault, Arc::default())), guard })
    }

    fn lease(&self) -> std::time::Duration {
        self.honest.lease()
    }
}
