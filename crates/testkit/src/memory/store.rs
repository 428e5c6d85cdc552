//! The memory store: its own clock, its own faults, one table.
//!
//! [`MemoryStore::commit_with_effect`] stands for a handler's own transaction: the effect and the completion
//! happen together or not at all, and only under the current token.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Ack, AttemptRecord, Clock, Completion, JobContext, JobId, JobRecord, Lease, Settled, Settlement, State,
    Store, StoreError, Timestamp,
};
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::{Faults, MemoryLedgerBroker, TokioClock, row::Row, table::Table};

/// A store in memory. Cheap to clone; clones are the same store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    faults: Faults,
}

struct Shared {
    table: Mutex<Table>,
    arrived: Notify,
    wished: Arc<Wished>,
    clock: TokioClock,
    /// How far a test has moved the clock, in microseconds.
    ahead: AtomicI64,
}

/// Counts what people wished. A `watch` channel would wake those who wait in a random order, and no world would repeat itself.
#[derive(Default)]
pub(super) struct Wished {
    count: AtomicU64,
    made: Notify,
}

impl Wished {
    fn one_more(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.made.notify_waiters();
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until there are others than these many; how many there are then.
    pub(super) async fn since(&self, seen: u64) -> u64 {
        loop {
            let mut made = std::pin::pin!(self.made.notified());
            made.as_mut().enable();
            let count = self.count();
            if count != seen {
                return count;
            }
            made.await;
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store. Make it inside a runtime, so that it sees that runtime's clock.
    pub fn new() -> Self {
        Self::with_clock(TokioClock::default())
    }

    /// With a clock that other models share.
    pub fn with_clock(clock: TokioClock) -> Self {
        let shared = Shared {
            table: Mutex::default(),
            arrived: Notify::new(),
            wished: Arc::default(),
            clock,
            ahead: AtomicI64::new(0),
        };
        Self { shared: Arc::new(shared), faults: Faults::default() }
    }

    /// The same store through another line: its calls go wrong by these faults and not by this handle's.
    #[must_use]
    pub fn through(&self, faults: Faults) -> Self {
        Self { shared: Arc::clone(&self.shared), faults }
    }

    /// The broker that shares this store's table.
    pub fn broker(&self) -> MemoryLedgerBroker {
        MemoryLedgerBroker::new(self.clone())
    }

    /// The store's clock.
    pub fn clock(&self) -> TokioClock {
        self.shared.clock
    }

    /// Moves the store's time forwards, for everything that is due by it.
    pub fn advance(&self, time: Duration) {
        let more = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let add = |ahead: i64| Some(ahead.saturating_add(more));
        let _ = self.shared.ahead.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        self.shared.arrived.notify_waiters();
    }

    /// What goes wrong from now on; a call is named `store.` and its method.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Commits an effect and completes the job in one transaction. [`StoreError::Stale`] = neither happened.
    pub fn commit_with_effect(&self, context: &JobContext, key: &str) -> Result<(), StoreError> {
        let lease = context.lease().ok_or(StoreError::Stale)?;
        self.commit(&lease, key)?;
        context.finished_in_transaction();
        Ok(())
    }

    /// As [`Self::commit_with_effect`], over a line that can break as any other call's: `store.commit`. `committed`
    /// is called when it happened, whether or not the answer arrives.
    pub async fn commit_over_the_wire(
        &self,
        context: &JobContext,
        key: &str,
        committed: impl FnOnce() + Send,
    ) -> Result<(), StoreError> {
        context.finished_in_transaction();
        let lease = context.lease().ok_or(StoreError::Stale)?;
        self.call("store.commit", |store| store.commit(&lease, key).map(|()| committed())).await
    }

    /// As [`Self::commit_with_effect`] for whoever has the lease but no context any more.
    pub fn commit_under(&self, lease: &Lease, key: &str) -> Result<(), StoreError> {
        self.commit(lease, key)
    }

    /// Every effect that was committed, doubles included.
    pub fn effects_committed(&self) -> Vec<(JobId, String)> {
        self.table().committed.clone()
    }

    /// How many jobs stand in this state.
    pub fn count(&self, state: State) -> usize {
        self.table().rows.values().filter(|row| row.state == state).count()
    }

    /// How many jobs are not over.
    pub fn unfinished(&self) -> usize {
        self.table().rows.values().filter(|row| !row.state.is_final()).count()
    }

    /// The state of one job, whatever the faults say.
    pub fn state_of(&self, id: JobId) -> Option<State> {
        self.table().rows.get(&id).map(|row| row.state)
    }

    /// The last tick of a schedule, whatever the faults say.
    pub fn last_tick_of(&self, name: &str) -> Option<Timestamp> {
        self.table().schedules.get(name).copied()
    }

    /// Every row, in the order of ids, whatever the faults say.
    pub fn records(&self) -> Vec<JobRecord> {
        self.table().rows.values().map(Row::record).collect()
    }

    /// Every start of a job, oldest first, whatever the faults say.
    pub fn starts(&self, id: JobId) -> Vec<AttemptRecord> {
        self.table().rows.get(&id).map(|row| row.attempts.clone()).unwrap_or_default()
    }

    /// Ends the lease of a running job at once, as if its time had passed.
    pub fn expire_lease(&self, id: JobId) {
        let now = self.now();
        if let Some(row) = self.table().rows.get_mut(&id) {
            row.lease_until = Some(now);
        }
    }

    fn commit(&self, lease: &Lease, key: &str) -> Result<(), StoreError> {
        let now = self.now();
        let mut table = self.table();
        let done = Settlement::Ack(Ack::Completed(Completion::default()));
        let row = table.rows.get_mut(&lease.job).ok_or(StoreError::Stale)?;
        if row.settle(lease, &done, now) == Settled::Stale {
            return Err(StoreError::Stale);
        }
        table.committed.push((lease.job, key.to_owned()));
        Ok(())
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.shared.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What time it is here.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.shared.ahead.load(Ordering::SeqCst));
        self.shared.clock.now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn arrived(&self) -> &Notify {
        &self.shared.arrived
    }

    /// A person wished something.
    pub(super) fn wished(&self) {
        self.shared.wished.one_more();
    }

    pub(super) fn wishes_made(&self) -> Arc<Wished> {
        Arc::clone(&self.shared.wished)
    }

    /// Runs one call under the plan of faults: fail before, or do it and lose the answer.
    pub(super) async fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let struck = self.faults.strike(name).await;
        let struck = struck.map_err(|call| StoreError::Unavailable(format!("planned fault at {call}")))?;
        let answer = work(self)?;
        match struck.answered().await {
            true => Err(StoreError::Unavailable(format!("planned loss of the answer to {name}"))),
            false => Ok(answer),
        }
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }
}
