//! The inbox of effects: what is about to happen outside is written down before it does.

use async_trait::async_trait;

use super::error::StoreError;
use crate::{EffectState, EffectStatus, Lease};

/// The inbox of effects; every call is fenced by the lease.
#[async_trait]
pub trait Effects: Send + Sync + 'static {
    /// Durably notes that the effect is about to happen and says what was known before. An effect found
    /// `intended` is turned into `ambiguous` by this call and counted; `done` is left as it is.
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError>;

    /// Durably notes how it ended, with what the other side called it.
    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError>;
}
