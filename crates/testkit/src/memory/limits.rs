//! Rate and concurrency limits in the memory store: a generic cell rate algorithm and a set of places.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    Lease, StoreError, Timestamp,
    store::{Limits, Rate},
};

use super::{MemoryStore, row::later};

/// The time at which the key's allowance is whole again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    whole_at: Timestamp,
}

#[async_trait]
impl Limits for MemoryStore {
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError> {
        if rate.count == 0 || rate.per.is_zero() {
            return Err(StoreError::Rejected(format!("the rate limit {key:?} allows {rate:?}")));
        }
        self.call("store.reserve", |store| {
            let (now, mut table) = (store.now(), store.table());
            let step = rate.per / rate.count;
            let bucket = table.buckets.entry(key.to_owned()).or_insert(Bucket { whole_at: now });
            let next = later(bucket.whole_at.max(now), step);
            let latest = later(now, rate.per);
            if next > latest {
                let wait = Duration::try_from(next.duration_since(latest)).unwrap_or_default();
                return Ok(Some(wait));
            }
            bucket.whole_at = next;
            Ok(None)
        })
        .await
    }

    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError> {
        self.call("store.occupy", |store| {
            let (now, mut table) = (store.now(), store.table());
            let held = table.rows.get(&lease.job).and_then(|row| row.lease_until).unwrap_or(lease.until);
            let running = table.rows.values().filter(|row| row.lease_until.is_some_and(|until| until > now));
            let alive: Vec<_> = running.map(|row| row.envelope.id).collect();
            let places = table.places.entry(key.to_owned()).or_default();
            places.retain(|id, until| *until > now || alive.contains(id));
            let free = places.contains_key(&lease.job) || places.len() < slots as usize;
            if free {
                places.insert(lease.job, held);
            }
            Ok(free)
        })
        .await
    }

    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError> {
        self.call("store.vacate", |store| {
            if let Some(places) = store.table().places.get_mut(key) {
                places.remove(&lease.job);
            }
            Ok(())
        })
        .await
    }
}
