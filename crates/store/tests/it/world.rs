//! A migrated database of one test with its store, and short words for what tests do all the time.

use std::time::Duration;

use backshift_core::{
    Accepted, Ack, DeadLetter, Envelope, ErrorClass, ErrorReport, JobId, Kind, Lease, QueueName, Reason,
    Retry, Settled, Settlement, State, StoreError, Timestamp, WorkerName,
    settle::Completion,
    store::{Finish, Holder, Jobs, Start, WorkerRecord},
};
use backshift_store::{Database, Executor, Options, SqlStore, ledger, migrate};

use crate::place::{self, Place};

/// Runs the same test on both databases.
#[macro_export]
macro_rules! on_both_databases {
    ($(async fn $name:ident($world:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn check($world: &$crate::world::World) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                check(&$crate::world::World::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(world) = $crate::world::World::postgres().await {
                    check(&world).await;
                }
            }
        }
    )*};
}

pub struct World {
    pub store: SqlStore,
    pub broker: &'static str,
    pub place: Place,
}

impl World {
    pub async fn sqlite() -> Self {
        Self::at(place::sqlite(), "embedded").await
    }

    pub async fn postgres() -> Option<Self> {
        Some(Self::at(place::postgres().await?, "postgres").await)
    }

    /// A database of its own behind PgBouncer in transaction mode.
    pub async fn pooled() -> Option<Self> {
        let door = place::server("BACKSHIFT_TEST_PGBOUNCER_URL")?;
        let mut place = place::postgres().await?;
        let name = place.url.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap();
        let server = door.rsplit_once('/').map(|(server, _)| server.to_owned()).unwrap();
        place.url = format!("{server}/{name}");
        place.db = Database::open(&place.url, &Options::default()).unwrap();
        Some(Self::at(place, "postgres").await)
    }

    /// With the schema brought up there.
    pub async fn at(place: Place, broker: &'static str) -> Self {
        migrate::up(&place.db, &[&migrate::ENGINE]).await.unwrap();
        if broker == "postgres" {
            place.db.sql(include_str!("../marks.sql")).run().await.unwrap();
        }
        Self { store: SqlStore::new(place.db.clone()), broker, place }
    }

    pub fn db(&self) -> &Database {
        &self.place.db
    }

    pub fn is_postgres(&self) -> bool {
        self.broker == "postgres"
    }

    pub async fn enqueue_all(&self, jobs: Vec<Envelope>) -> Vec<Result<Accepted, StoreError>> {
        ledger::enqueue(self.db(), self.broker, jobs).await
    }

    pub async fn enqueue(&self, job: Envelope) -> Accepted {
        self.enqueue_all(vec![job]).await.pop().unwrap().unwrap()
    }

    /// Enqueues one plain job and starts it.
    pub async fn running(&self, worker: &str) -> (Envelope, Start) {
        let id = self.enqueue(job("ready")).await.id();
        let (envelope, start) = self.claim(worker).await.unwrap();
        assert_eq!(envelope.id, id);
        (envelope, start)
    }

    pub async fn claim_many(&self, worker: &str, limit: u32) -> Vec<(Envelope, Start)> {
        ledger::claim_available(self.db(), &queue("ready"), limit, &holder(worker)).await.unwrap()
    }

    pub async fn claim(&self, worker: &str) -> Option<(Envelope, Start)> {
        self.claim_many(worker, 1).await.pop()
    }

    pub async fn claim_alone(&self, worker: &str) -> Option<(Envelope, Start)> {
        ledger::claim_alone(self.db(), &queue("ready"), &holder(worker), None).await.unwrap()
    }

    pub async fn finish(&self, lease: Lease, settlement: Settlement) -> Settled {
        ledger::finish(self.db(), vec![Finish { lease, settlement, durable: true }])
            .await
            .unwrap()
            .pop()
            .unwrap()
    }

    pub async fn state(&self, id: JobId) -> State {
        self.store.find(id).await.unwrap().unwrap().state
    }

    /// Moves a time of a job by this many seconds from now.
    pub async fn set_time(&self, id: JobId, column: &str, seconds: i64) {
        let text = if self.is_postgres() {
            format!(
                "UPDATE background_jobs SET {column} = clock_timestamp() + $2 * interval '1 second' WHERE id = $1"
            )
        } else {
            format!("UPDATE background_jobs SET {column} = clock_timestamp() + $2 * 1000000 WHERE id = $1")
        };
        assert_eq!(self.db().text(text).bind(id).bind(seconds).run().await.unwrap(), 1);
    }

    pub async fn end_lease(&self, id: JobId) {
        if self.is_postgres() {
            // As the first heartbeat of all jobs of its claim does.
            let show = "SELECT backshift_show_starts(jobs)::text FROM job_claims WHERE $1 = ANY (jobs)";
            self.db().sql(show).bind(id).all::<Option<String>>().await.unwrap();
            let doubtful = "UPDATE job_claims SET lease_until = clock_timestamp() - interval '1 second' WHERE $1 = ANY (jobs)";
            self.db().sql(doubtful).bind(id).run().await.unwrap();
        }
        self.set_time(id, "lease_until", -1).await;
    }

    /// The rescuer looks into every claim, and what no heartbeat has written is lost.
    pub async fn claims_are_doubtful(&self) {
        let doubtful = "UPDATE job_claims SET lease_until = clock_timestamp() - interval '1 second'";
        self.db().sql(doubtful).run().await.unwrap();
    }
}

pub fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

pub fn job(queue_name: &str) -> Envelope {
    Envelope::new(Kind::new("test.job").unwrap(), queue(queue_name), &br#"{"n":1}"#[..], Timestamp::now())
}

/// A worker that gave a sign of life now and works `ready`.
pub fn worker(name: &str) -> WorkerRecord {
    WorkerRecord::new(WorkerName::new(name).unwrap(), "ready:4", Timestamp::now())
}

pub fn holder(worker: &str) -> Holder {
    Holder { worker: WorkerName::new(worker).unwrap(), lease: Duration::from_secs(30) }
}

pub fn completed() -> Settlement {
    Settlement::Ack(Ack::Completed(Completion::default()))
}

pub fn completed_in_transaction() -> Settlement {
    Settlement::Ack(Ack::Completed(Completion { in_transaction: true, ..Completion::default() }))
}

pub fn failed(job: &Envelope, delay: Duration) -> Settlement {
    let mut next = job.clone();
    next.attempt += 1;
    let error = Some(ErrorReport::new(ErrorClass::Error, "it broke"));
    Settlement::Retry(Box::new(Retry { next, delay, counted: true, error }))
}

pub fn snoozed(job: &Envelope, delay: Duration) -> Settlement {
    Settlement::Retry(Box::new(Retry { next: job.clone(), delay, counted: false, error: None }))
}

pub fn dead(reason: Reason) -> Settlement {
    let error = ErrorReport::new(ErrorClass::Error, "no hope");
    Settlement::DeadLetter(DeadLetter { reason, error, attempt: 1 })
}
