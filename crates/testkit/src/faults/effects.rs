//! What a lying store remembers of effects.

use async_trait::async_trait;
use backshift_core::{EffectState, EffectStatus, Lease, StoreError, store::Effects};

use super::{store::FaultyStore, store_fault::StoreFault};

#[async_trait]
impl Effects for FaultyStore {
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError> {
        let mut status = self.honest.intend(lease, key).await?;
        if self.has(StoreFault::ForgetsEffects) {
            status.before = EffectState::None;
        }
        Ok(status)
    }

    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError> {
        self.honest.conclude(lease, key, state, receipt).await
    }
}
