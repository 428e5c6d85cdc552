//! Starts and results in the memory store.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, JobId, Lease, Settled, Settlement, State, StoreError, Timestamp, WorkerName,
    store::{
        Beat, ClaimRequest, Claimed, Finish, HandOver, Holder, Ledger, Liveness, Pulse, Trouble, WorkerRecord,
    },
};

use super::{
    MemoryStore,
    ledger_broker::NAME,
    row::{Row, later},
    table::{Table, knows},
};

/// Held by a worker while it lives.
pub(super) struct Alive;

impl Liveness for Alive {
    fn stands(&self) -> bool {
        true
    }
}

fn claim(table: &mut Table, holder: &Holder, request: ClaimRequest, now: Timestamp) -> Claimed {
    let matched = absorbed_by(table, &request, now);
    let id = matched.unwrap_or(request.envelope.id);
    match (matched, claim_as(table, holder, request, id, now)) {
        (Some(job), answer) if !matches!(answer, Claimed::Run(_)) => Claimed::Known(job, Box::new(answer)),
        (_, answer) => answer,
    }
}

fn claim_as(table: &mut Table, holder: &Holder, request: ClaimRequest, id: JobId, now: Timestamp) -> Claimed {
    let left = |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
    let waits = table.rows.get(&id).filter(|row| !row.state.is_final() && row.state != State::Running);
    let waits_until = waits.and_then(|row| table.waits_for(row, now));
    let Some(row) = table.rows.get_mut(&id) else {
        let mut row = Row::new(request.envelope, request.broker, now);
        row.anonymous = request.anonymous;
        let start = row.start(holder, now);
        table.rows.insert(start.lease.job, row);
        return Claimed::Run(start);
    };
    if !is_of(row, &request) {
        return Claimed::Conflict;
    }
    match row.state {
        state if state.is_final() => return Claimed::Over(state),
        State::Running if !row.published => return Claimed::Kept,
        State::Running if request.redelivered || row.lease_is_over(now) => {
            row.crash(now);
            if row.state.is_final() {
                return Claimed::Over(row.state);
            }
        }
        State::Running => return Claimed::Held(row.lease_until.map(left).unwrap_or_default()),
        State::Retrying | State::Scheduled if row.run_at > now => return Claimed::Early(left(row.run_at)),
        _ => {}
    }
    if let Some(until) = waits_until {
        return Claimed::Held(left(until));
    }
    row.published = true;
    Claimed::Run(row.start(holder, now))
}

/// Whether the delivery is one of this job: whoever may publish can write any id.
fn is_of(row: &Row, request: &ClaimRequest) -> bool {
    let (known, delivered) = (&row.envelope, &request.envelope);
    row.broker == request.broker
        && (&known.payload, &known.queue, &known.kind)
            == (&delivered.payload, &delivered.queue, &delivered.kind)
}

/// How long after its end a row may answer for a redelivery.
const ABSORBS_FOR: Duration = Duration::from_secs(3600);

/// The row that an anonymous redelivery belongs to: the same bytes, a message that may still be there, unfinished ones
/// first, then those with which the fewest redeliveries were matched.
fn absorbed_by(table: &mut Table, request: &ClaimRequest, now: Timestamp) -> Option<JobId> {
    if !(request.anonymous && request.redelivered) {
        return None;
    }
    let same = |row: &&mut Row| {
        let recent = row.finished_at.is_none_or(|at| later(at, ABSORBS_FOR) > now);
        row.anonymous
            && recent
            && row.absorbed.is_some()
            && is_of(row, request)
            && !request.except.contains(&row.envelope.id)
    };
    let rank = |row: &&mut Row| {
        let matched = i64::try_from(row.absorbed.unwrap_or_default()).unwrap_or(i64::MAX);
        (row.envelope.id != request.envelope.id, row.state.is_final(), matched - row.token.0, row.envelope.id)
    };
    let row = table.rows.values_mut().filter(same).min_by_key(rank)?;
    let before = row.absorbed.unwrap_or_default().max(u64::try_from(row.token.0).unwrap_or_default());
    row.absorbed = Some(before + 1);
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
            let mut found = Vec::new();
            let mut one = |mut request: ClaimRequest| {
                if begun.contains(&request.envelope.id) {
                    return Claimed::Held(holder.lease);
                }
                request.except.extend(&found);
                let answer = claim(&mut table, holder, request, now);
                match &answer {
                    Claimed::Run(start) => {
                        begun.insert(start.lease.job);
                        found.push(start.lease.job);
                    }
                    Claimed::Known(job, _) => found.push(*job),
                    _ => {}
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

    async fn gone(&self, jobs: Vec<JobId>) -> Result<(), StoreError> {
        self.call("store.gone", |store| {
            let mut table = store.table();
            for id in &jobs {
                if let Some(row) = table.rows.get_mut(id).filter(|row| row.anonymous) {
                    row.absorbed = None;
                }
            }
            Ok(())
        })
        .await
    }

    async fn beat(&self, holder: &Holder, beats: Vec<Beat>) -> Result<Vec<Pulse>, StoreError> {
        self.call("store.beat", |store| {
            let (now, mut table) = (store.now(), store.table());
            Ok(beats.into_iter().map(|one| beat(&mut table, holder, one, now)).collect())
        })
        .await
    }

    async fn unwanted(&self, _: &WorkerName, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        self.call("store.unwanted", |store| {
            let table = store.table();
            let unwanted = |lease: &&Lease| {
                table.rows.get(&lease.job).is_some_and(|row| row.is_held_by(lease) && row.cancel_requested)
            };
            Ok(leases.iter().filter(unwanted).copied().collect())
        })
        .await
    }

    async fn park(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        self.call("store.park", |store| {
            let (now, mut table) = (store.now(), store.table());
            Ok(leases.iter().map(|lease| table.park(lease, now)).collect())
        })
        .await
    }

    async fn hand_over(&self, jobs: Vec<HandOver>) -> Result<Vec<bool>, StoreError> {
        self.call("store.hand_over", |store| {
            let mut table = store.table();
            let mut keep = |job: &HandOver| {
                let row = table.rows.get_mut(&job.lease.job).filter(|row| row.broker != NAME);
                row.is_some_and(|row| row.hand_over(&job.lease))
            };
            Ok(jobs.iter().map(&mut keep).collect())
        })
        .await
    }

    async fn take_seat(&self, lease: Lease) -> Result<bool, StoreError> {
        self.call("store.take_seat", |store| Ok(store.table().take_seat(&lease))).await
    }

    async fn announce(&self, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError> {
        self.call("store.announce", |store| {
            let sign = Arc::new(Alive);
            let troubles = Trouble::read(&Trouble::written(&worker.troubles));
            let entry = (WorkerRecord { troubles, ..worker.clone() }, Arc::downgrade(&sign));
            let mut table = store.table();
            table.workers.insert(worker.name.to_string(), entry);
            let parked = |row: &&mut Row| row.aside && row.state == State::Available && row.broker != NAME;
            let rows = table.rows.values_mut().filter(parked);
            rows.filter(|row| knows(worker, row)).for_each(Row::offer);
            Ok(sign as Arc<dyn Liveness>)
        })
        .await
    }

    async fn tell(&self, worker: &WorkerName, troubles: &[Trouble]) -> Result<(), StoreError> {
        self.call("store.tell", |store| {
            if let Some((worker, _)) = store.table().workers.get_mut(worker.as_str()) {
                worker.troubles = Trouble::read(&Trouble::written(troubles));
            }
            Ok(())
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
