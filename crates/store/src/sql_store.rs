//! The store of core's port on PostgreSQL and SQLite.
//!
//! Results of foreign brokers are written strictly: their message is acknowledged next, so a completion that a
//! crash undid would leave a row that runs for ever.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    AttemptRecord, JobFilter, JobId, JobRecord, Lease, Page, QueueName, Settled, State, Store, StoreError,
    WorkerName,
    record::Found,
    store::{
        Beat, ClaimRequest, Claimed, Due, Finish, Forsaken, HandOver, Hints, Holder, Jobs, Ledger, Liveness,
        Maintenance, Pulse, Rescued, Trouble, WorkerRecord,
    },
};

use crate::{
    Database,
    allowances::Allowances,
    counts::Tally,
    ledger::{
        anonymous, beat, claim, deliveries, finish, forsaken, handover, jobs, list, park, rescue, search,
        upkeep,
    },
    notify::Bell,
    workers,
};

/// A store on one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqlStore {
    db: Database,
    walk: Arc<upkeep::Walk>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) allowances: Arc<Allowances>,
    pub(crate) bell: Bell,
}

impl SqlStore {
    /// A store on this database; `migrate::check` says whether its tables fit.
    pub fn new(db: Database) -> Self {
        let bell = Bell::new(&db);
        Self { db, walk: Arc::default(), tally: Arc::default(), allowances: Arc::default(), bell }
    }

    /// What wakes whoever waits on this database, in this process and in others.
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Its database.
    pub fn database(&self) -> &Database {
        &self.db
    }
}

impl Store for SqlStore {
    fn name(&self) -> &'static str {
        match self.db {
            Database::Pg(_) => "postgres",
            Database::Sqlite(_) => "sqlite",
        }
    }
}

#[async_trait]
impl Ledger for SqlStore {
    async fn claim(&self, holder: &Holder, batch: Vec<ClaimRequest>) -> Result<Vec<Claimed>, StoreError> {
        deliveries::claim(&self.db, holder, batch).await
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Settled>, StoreError> {
        let soonest = finish::soonest(&batch);
        let settled = finish::finish(&self.db, batch).await?;
        if let Some(delay) = soonest {
            // This process keeps its time; when it ends before, the others find the job at their next look.
            self.bell.due_in(delay);
        }
        Ok(settled)
    }

    async fn gone(&self, jobs: Vec<JobId>) -> Result<(), StoreError> {
        anonymous::gone(&self.db, jobs).await
    }

    async fn beat(&self, holder: &Holder, beats: Vec<Beat>) -> Result<Vec<Pulse>, StoreError> {
        beat::beat(&self.db, holder, beats).await
    }

    async fn unwanted(&self, worker: &WorkerName, leases: &[Lease]) -> Result<Vec<Lease>, StoreError> {
        beat::unwanted(&self.db, worker, leases).await
    }

    async fn park(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        park::park(&self.db, leases).await
    }

    async fn hand_over(&self, jobs: Vec<HandOver>) -> Result<Vec<bool>, StoreError> {
        handover::hand_over(&self.db, jobs).await
    }

    async fn take_seat(&self, lease: Lease) -> Result<bool, StoreError> {
        claim::take_seat(&self.db, lease).await
    }

    async fn announce(&self, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError> {
        workers::announce(&self.db, worker).await
    }

    async fn tell(&self, worker: &WorkerName, troubles: &[Trouble]) -> Result<(), StoreError> {
        workers::tell(&self.db, worker, troubles).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError> {
        workers::workers(&self.db).await
    }
}

#[async_trait]
impl Jobs for SqlStore {
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        jobs::find(&self.db, id).await
    }

    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
        jobs::attempts(&self.db, id).await
    }

    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
        jobs::over(&self.db, ids).await
    }

    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError> {
        list::list(&self.db, filter, page).await
    }

    async fn search(&self, filter: &JobFilter, page: &Page) -> Result<Found, StoreError> {
        search::search(&self.db, filter, page).await
    }

    async fn cancel(&self, id: JobId) -> Result<State, StoreError> {
        let state = jobs::cancel(&self.db, id).await?;
        if state == State::Running {
            self.bell.wish().await;
        }
        Ok(state)
    }

    async fn retry(&self, id: JobId) -> Result<State, StoreError> {
        jobs::retry(&self.db, id).await
    }
}

#[async_trait]
impl Maintenance for SqlStore {
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError> {
        let upkeep::Promoted { queues, next, now } = upkeep::promote(&self.db, limit).await?;
        self.bell.it_is(now);
        queues.keys().for_each(|queue| self.bell.ring(queue));
        Ok((queues.values().sum(), next))
    }

    fn dues(&self) -> Box<dyn Hints> {
        Box::new(self.bell.dues())
    }

    async fn rescue(&self) -> Result<Rescued, StoreError> {
        rescue::rescue(&self.db).await
    }

    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError> {
        forsaken::forsaken(&self.db, broker, queue, after).await
    }

    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError> {
        forsaken::forsake(&self.db, jobs, after).await
    }

    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        upkeep::prune(&self.db, keep, limit, &self.walk).await
    }

    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError> {
        upkeep::prune_dead(&self.db, keep, limit).await
    }
}
