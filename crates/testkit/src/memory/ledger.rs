//! Starts and results in the memory store.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, Settled, Settlement, State, StoreError, Timestamp,
    store::{Beat, ClaimRequest, Claimed, Finish, Holder, Ledger, Liveness, Pulse, WorkerRecord},
};

use super::{
    MemoryStore,
    row::{Row, later},
    table::Table,
};

/// Held by a worker while it lives.
pub(super) struct Alive;

impl Liveness for Alive {
    fn stands(&self) -> bool {
        true
    }
}

fn claim(table: &mut Table, holder: &Holder, request: ClaimRequest, now: Timestamp) -> Claimed {
    let id = match absorbed_by(table, &request) {
        Some(id) => id,
        None => request.envelope.id,
    };
    let waits = table.rows.get(&id).filter(|row| !row.state.is_final() && row.state != State::Running);
    if let Some(until) = waits.and_then(|row| table.waits_for(row, now)) {
        return Claimed::Held(Duration::try_from(until.duration_since(now)).unwrap_or_default());
    }
    let Some(row) = table.rows.get_mut(&id) else {
        let mut row = Row::new(request.envelope, request.broker, now);
        let start = row.start(holder, now);
        table.rows.insert(start.lease.job, row);
        return Claimed::Run(start);
    };
    if row.envelope.payload != request.envelope.payload {
        return Claimed::Conflict;
    }
    match row.state {
        state if state.is_final() => return Claimed::Over(state),
        State::Running if request.redelivered || row.lease_is_over(now) => {
            row.crash(now);
            if row.state.is_final() {
                return Claimed::Over(row.state);
            }
        }
        State::Running => {
            let left = row.lease_until.map(|until| until.duration_since(now)).unwrap_or_default();
            return Claimed::Held(Duration::try_from(left).unwrap_or_default());
        }
        _ => {}
    }
    row.published = true;
    Claimed::Run(row.start(holder, now))
}

/// The row that an anonymous redelivery belongs to: same bytes, and no redelivery used it yet.
fn absorbed_by(table: &mut Table, request: &ClaimRequest) -> Option<backshift_core::JobId> {
    if !(request.anonymous && request.redelivered) {
        return None;
    }
    let same = |row: &&mut Row| !row.absorbed && row.envelope.payload == request.envelope.payload;
    let row = table.rows.values_mut().find(same)?;
    row.absorbed = true;
    Some(row.envelope.id)
}

/// Writes one result; what was written before (its answer was lost) is applied.
pub(super) fn finish(table: &mut Table, finish: &Finish, now: Timestamp) -> Settled {
    let Some(row) = table.rows.get_mut(&finish.lease.job) else { return Settled::Stale };
    let completed = row.state == State::Completed && row.token == finish.lease.token;
    if completed && matches!(finish.settlement, Settlement::Ack(Ack::Completed(_))) {
        return Settled::Applied; // By its own transaction, or by a call whose answer was lost.
    }
    row.settle(&finish.lease, &finish.settlement, now)
}

fn beat(table: &mut Table, holder: &Holder, beat: Beat, now: Timestamp) -> Pulse {
    let Some(row) = table.rows.get_mut(&beat.lease.job).filter(|row| row.is_held_by(&beat.lease)) else {
        return Pulse::Lost;
    };
    let until = later(now, holder.lease);
    row.lease_until = Some(until);
    row.progress = beat.progress.or(row.progress.take());
    if row.cancel_requested { Pulse::CancelRequested } else { Pulse::Until(until) }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn claim(&self, holder: &Holder, batch: Vec<ClaimRequest>) -> Result<Vec<Claimed>, StoreError> {
        self.call("store.claim", |store| {
            let (now, mut table) = (store.now(), store.table());
            // A job that is in the batch twice runs once, whatever its second delivery says.
            let mut begun = BTreeSet::new();
            let mut one = |request: ClaimRequest| {
                if begun.contains(&request.envelope.id) {
                    return Claimed::Held(holder.lease);
                }
                let answer = claim(&mut table, holder, request, now);
                if let Claimed::Run(start) = &answer {
                    begun.insert(start.lease.job);
                }
                answer
            };
            Ok(batch.into_iter().map(&mut one).collect())
        })
        .await
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Settled>, StoreError> {
        let answer = self
            .call("store.finish", |store| {
                let (now, mut table) = (store.now(), store.table());
                Ok(batch.iter().map(|one| finish(&mut table, one, now)).collect())
            })
            .await;
        self.arrived().notify_waiters();
        answer
    }

    async fn beat(&self, holder: &Holder, beats: Vec<Beat>) -> Result<Vec<Pulse>, StoreError> {
        self.call("store.beat", |store| {
            let (now, mut table) = (store.now(), store.table());
            Ok(beats.into_iter().map(|one| beat(&mut table, holder, one, now)).collect())
        })
        .await
    }

    async fn announce(&self, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError> {
        self.call("store.announce", |store| {
            let sign = Arc::new(Alive);
            let entry = (worker.clone(), Arc::downgrade(&sign));
            store.table().workers.insert(worker.name.to_string(), entry);
            Ok(sign as Arc<dyn Liveness>)
        })
        .await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        self.call("store.workers", |store| {
            let (now, table) = (store.now(), store.table());
            let alive = table.workers.values().filter(|(_, sign)| sign.strong_count() > 0);
            Ok(alive.map(|(worker, _)| WorkerRecord { seen_at: now, ..worker.clone() }).collect())
        })
        .await
    }
}
