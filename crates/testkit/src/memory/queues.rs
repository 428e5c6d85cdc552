//! Queues as a whole in the memory store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use backshift_core::{
    Kind, QueueCounts, QueueName, State, StoreError, Timestamp,
    store::{Hints, ParkedKind, Queues},
};

use super::{MemoryStore, row::Row, store::Wished};

#[async_trait]
impl Queues for MemoryStore {
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError> {
        self.call("store.counts", |store| {
            let table = store.table();
            let mut counts: BTreeMap<QueueName, QueueCounts> = BTreeMap::new();
            for row in table.rows.values() {
                let queue = row.envelope.queue.clone();
                let paused = table.paused.contains(&queue);
                let (by_state, more) = (Vec::new(), Vec::new());
                let empty = QueueCounts { queue: queue.clone(), paused, by_state, more, oldest_due: None };
                let count = counts.entry(queue).or_insert(empty);
                match count.by_state.iter_mut().find(|(state, _)| *state == row.state) {
                    Some((_, number)) => *number += 1,
                    None => count.by_state.push((row.state, 1)),
                }
                if row.state == State::Available {
                    count.oldest_due =
                        Some(count.oldest_due.map_or(row.run_at, |oldest| oldest.min(row.run_at)));
                }
            }
            Ok(counts.into_values().collect())
        })
        .await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
        let answer = self
            .call("store.pause", |store| {
                let mut table = store.table();
                Ok(match paused {
                    true => table.paused.insert(queue.clone()),
                    false => table.paused.remove(queue),
                })
            })
            .await;
        self.wished();
        answer
    }

    async fn paused(&self) -> Result<Vec<QueueName>, StoreError> {
        self.call("store.paused", |store| Ok(store.table().paused.iter().cloned().collect())).await
    }

    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError> {
        self.call("store.parked", |store| {
            let mut kinds: BTreeMap<(QueueName, Kind), ParkedKind> = BTreeMap::new();
            let (table, most) = (store.table(), u64::from(ParkedKind::COUNTED));
            for row in table.rows.values().filter(|row| row.aside && row.state == State::Available) {
                let (queue, kind) = (row.envelope.queue.clone(), row.envelope.kind.clone());
                let key = (queue.clone(), kind.clone());
                let none = ParkedKind { queue, kind, jobs: 0, since: row.run_at };
                let parked = kinds.entry(key).or_insert(none);
                parked.jobs = (parked.jobs + 1).min(most);
                parked.since = parked.since.min(row.run_at);
            }
            Ok(kinds.into_values().take(ParkedKind::LISTED as usize).collect())
        })
        .await
    }

    async fn next_kinds(&self, queues: &[QueueName]) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
        self.call("store.next_kinds", |store| {
            let table = store.table();
            let next = |row: &&Row| {
                row.state == State::Available && !row.aside && queues.contains(&row.envelope.queue)
            };
            let mut kinds: BTreeMap<QueueName, BTreeSet<Kind>> = BTreeMap::new();
            for Row { envelope, .. } in table.rows.values().filter(next) {
                kinds.entry(envelope.queue.clone()).or_default().insert(envelope.kind.clone());
            }
            Ok(kinds.into_iter().map(|(queue, kinds)| (queue, kinds.into_iter().collect())).collect())
        })
        .await
    }

    fn wishes(&self) -> Box<dyn Hints> {
        Box::new(Wishes { of: self.wishes_made(), seen: self.wishes_made().count() })
    }
}

/// Rung by every cancel and every pause.
struct Wishes {
    of: Arc<Wished>,
    seen: u64,
}

#[async_trait]
impl Hints for Wishes {
    async fn wait(&mut self, _: Option<Timestamp>, at_most: Duration) -> bool {
        let heard = tokio::time::timeout(at_most, self.of.since(self.seen)).await;
        self.seen = *heard.as_ref().unwrap_or(&self.seen);
        heard.is_ok()
    }
}
