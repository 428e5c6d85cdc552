//! Promotion, rescue and pruning in the memory store.

use std::time::Duration;

use async_trait::async_trait;
use backshift_core::{
    JobId, QueueName, State, StoreError, Timestamp,
    store::{Due, Forsaken, Hints, KEPT_AT_LEAST, Maintenance, NoHints, Rescued},
};

use super::{
    MemoryStore, ledger_broker,
    row::{Row, later},
};

#[async_trait]
impl Maintenance for MemoryStore {
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError> {
        let answer = self
            .call("store.promote", |store| {
                let (now, mut table) = (store.now(), store.table());
                let mut promoted = 0;
                let mut next = None::<Timestamp>;
                let waiting = |state| matches!(state, State::Scheduled | State::Retrying);
                let rows = table.rows.values_mut().filter(|row| waiting(row.state));
                for row in rows.filter(|row| row.broker == ledger_broker::NAME) {
                    if row.run_at <= now && promoted < u64::from(limit) {
                        row.state = State::Available;
                        promoted += 1;
                    } else {
                        next = Some(next.map_or(row.run_at, |next| next.min(row.run_at)));
                    }
                }
                let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
                Ok((promoted, next.map(|at| Due { at, wait: wait(at) })))
            })
            .await;
        self.arrived().notify_waiters();
        answer
    }

    fn dues(&self) -> Box<dyn Hints> {
        Box::new(NoHints)
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        let answer = self
            .call("store.rescue", |store| {
                let (now, mut table) = (store.now(), store.table());
                let mut rescued = Rescued::default();
                // A foreign broker delivers its own jobs again, unless their messages were handed over.
                let own = |row: &&mut Row| {
                    (row.broker == ledger_broker::NAME || !row.published) && row.lease_is_over(now)
                };
                for row in table.rows.values_mut().filter(own) {
                    row.crash(now);
                    match row.state {
                        State::Dead => rescued.dead += 1,
                        _ => rescued.returned += 1,
                    }
                }
                Ok(rescued)
            })
            .await;
        self.arrived().notify_waiters();
        answer
    }

    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError> {
        self.call("store.forsaken", |store| {
            let (now, table) = (store.now(), store.table());
            let of = |row: &&Row| row.broker == broker && row.envelope.queue == *queue;
            let rows = table.rows.values().filter(of).filter(|row| row.is_forsaken(after, now));
            let told = |row: &Row| Forsaken { id: row.envelope.id, begun: row.state == State::Running };
            Ok(rows.map(told).take(1000).collect())
        })
        .await
    }

    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError> {
        self.call("store.forsake", |store| {
            let (now, mut table) = (store.now(), store.table());
            let mut ended = 0;
            for id in &jobs {
                if let Some(row) = table.rows.get_mut(id).filter(|row| row.is_forsaken(after, now)) {
                    row.forsake(now);
                    ended += 1;
                }
            }
            Ok(ended)
        })
        .await
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call("store.prune", |store| {
            Ok(prune(store, keep, limit, |state| matches!(state, State::Completed | State::Cancelled)))
        })
        .await
    }

    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        self.call("store.prune", |store| Ok(prune(store, keep, limit, |state| state == State::Dead))).await
    }
}

fn prune(store: &MemoryStore, keep: Duration, limit: u32, of: impl Fn(State) -> bool) -> u64 {
    let (now, mut table) = (store.now(), store.table());
    let keep = keep.max(KEPT_AT_LEAST);
    let over = |at: Option<Timestamp>| at.is_some_and(|at| later(at, keep) <= now);
    let old = table.rows.values().filter(|row| of(row.state) && over(row.finished_at));
    let old: Vec<_> = old.map(|row| row.envelope.id).take(limit as usize).collect();
    for id in &old {
        table.rows.remove(id);
    }
    old.len() as u64
}
