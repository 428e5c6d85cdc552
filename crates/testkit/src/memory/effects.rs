//! The inbox of effects in the memory store.

use async_trait::async_trait;
use backshift_core::{EffectState, EffectStatus, Lease, StoreError, store::Effects};

use super::MemoryStore;

#[async_trait]
impl Effects for MemoryStore {
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError> {
        self.call("store.intend", |store| {
            let mut table = store.table();
            if !table.rows.get(&lease.job).is_some_and(|row| row.is_held_by(lease)) {
                return Err(StoreError::Stale);
            }
            let effect = table.effects.entry((lease.job, key.to_owned())).or_default();
            let before = effect.state;
            if before != EffectState::Done {
                effect.tries += 1;
                effect.state = match before {
                    EffectState::None => EffectState::Intended,
                    _ => EffectState::Ambiguous,
                };
            }
            let status = EffectStatus { before, tries: effect.tries, receipt: effect.receipt.clone() };
            let state = effect.state;
            if let Some(row) = table.rows.get_mut(&lease.job) {
                row.effect = state;
            }
            Ok(status)
        })
        .await
    }

    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError> {
        self.call("store.conclude", |store| {
            let mut table = store.table();
            let Some(row) = table.rows.get_mut(&lease.job).filter(|row| row.token == lease.token) else {
                return Err(StoreError::Stale);
            };
            row.effect = state;
            let effect = table.effects.entry((lease.job, key.to_owned())).or_default();
            effect.state = state;
            effect.receipt = receipt.map(str::to_owned);
            Ok(())
        })
        .await
    }
}
