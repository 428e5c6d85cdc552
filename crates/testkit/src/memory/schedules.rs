//! Cron slots in the memory store.

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp, store::Schedules};

use super::MemoryStore;

#[async_trait]
impl Schedules for MemoryStore {
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        self.call("store.last_tick", |store| {
            Ok(*store.table().schedules.entry(name.to_owned()).or_insert(now))
        })
        .await
    }

    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError> {
        self.call("store.advance", |store| {
            let mut table = store.table();
            match table.schedules.get_mut(name) {
                Some(last) if *last == from => {
                    *last = to;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
        .await
    }

    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.call("store.schedules", |store| {
            Ok(store.table().schedules.iter().map(|(name, at)| (name.clone(), *at)).collect())
        })
        .await
    }
}
