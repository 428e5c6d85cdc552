//! Worker processes as others see them: a row that is refreshed, and a sign of life that ends with the process.
//!
//! A new process under an old name proves that the old one is dead: its jobs come back at once.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Kind, StoreError, Timestamp, WorkerName,
    store::{Liveness, Rescued, Trouble, WorkerRecord},
};
use tokio::task::JoinHandle;

use crate::ledger::both::same;
use crate::{
    Database, Durability, FromRow, Row, Sql,
    ledger::{park, rescue},
    liveness,
};

/// How often the row is refreshed while nothing runs; a worker that was not seen for a minute is not shown.
const REFRESH: Duration = Duration::from_secs(20);

/// What runs, found by the claims: PostgreSQL has no index by worker or state. `OFFSET 0` keeps the look at
/// each job's key; joined, a ledger without statistics may be read whole.
macro_rules! in_claims {
    () => {
        "job_claims h CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS u(job, token) \
         CROSS JOIN LATERAL (SELECT b.id, CASE WHEN b.status = 'running' THEN b.worker ELSE h.worker END AS worker \
         FROM background_jobs b WHERE b.id = u.job AND (b.status = 'running' OR (b.status = 'available' \
         AND b.broker = 'postgres' AND b.token = u.token - 1)) OFFSET 0) j"
    };
}

pub(crate) const BEGAN: &str = "SELECT started_at FROM job_workers WHERE name = $1";
pub(crate) const SHOW: &str = "INSERT INTO job_workers (name, queues, started_at, seen_at, signed, kinds, troubles) \
     VALUES ($1, $2, $3, clock_timestamp(), $4, $5, $6) ON CONFLICT (name) DO UPDATE SET queues = excluded.queues, \
     started_at = excluded.started_at, seen_at = excluded.seen_at, \
     signed = excluded.signed, kinds = excluded.kinds, troubles = excluded.troubles";
pub(crate) const REFRESHED: &str = "UPDATE job_workers SET seen_at = clock_timestamp() WHERE name = $1";
pub(crate) const TELL: &str =
    "UPDATE job_workers SET troubles = $2, seen_at = clock_timestamp() WHERE name = $1";
/// A row stays while the rescuer may need it: as long as something runs that it would return because its worker is dead.
pub(crate) const HIDE: Sql = Sql {
    pg: concat!(
        "DELETE FROM job_workers WHERE name = $1 AND started_at = $2 AND NOT EXISTS (SELECT 1 FROM ",
        in_claims!(),
        " WHERE h.worker = $1 AND j.worker = $1)"
    ),
    sqlite: "DELETE FROM job_workers WHERE name = $1 AND started_at = $2 \
             AND NOT EXISTS (SELECT 1 FROM background_jobs WHERE worker = $1 AND status = 'running')",
};
/// Of each queue of a foreign broker the oldest jobs are looked at that the broker has: only its row says that a job of
/// those runs, and what runs came before what waits.
pub(crate) const ALL: Sql = Sql {
    pg: concat!(
        "WITH RECURSIVE lines(name) AS (SELECT MIN(abroad) FROM background_jobs WHERE abroad IS NOT NULL \
         UNION ALL SELECT (SELECT MIN(abroad) FROM background_jobs WHERE abroad IS NOT NULL AND abroad > lines.name) \
         FROM lines WHERE lines.name IS NOT NULL) \
         SELECT w.name, w.queues, w.kinds, w.started_at, w.seen_at, COALESCE(r.jobs, 0), w.troubles FROM job_workers w \
         LEFT JOIN (SELECT held.worker, COUNT(DISTINCT held.id) AS jobs FROM (SELECT j.id, j.worker FROM ",
        in_claims!(),
        " UNION ALL SELECT a.id, a.worker FROM lines CROSS JOIN LATERAL (SELECT id, worker, status \
         FROM background_jobs WHERE abroad IS NOT NULL AND abroad = lines.name AND unpublished IS NULL \
         AND aside IS NULL ORDER BY abroad, unpublished, aside, run_at LIMIT 20000) a \
         WHERE a.status = 'running') held GROUP BY held.worker) r ON r.worker = w.name \
         WHERE w.seen_at > clock_timestamp() - 60000000 * interval '1 microsecond' ORDER BY w.name"
    ),
    sqlite: "SELECT name, queues, kinds, started_at, seen_at, (SELECT count(*) FROM background_jobs j \
             WHERE j.status = 'running' AND j.worker = job_workers.name), troubles FROM job_workers \
             WHERE seen_at > clock_timestamp() - 60000000 ORDER BY name",
};

pub(crate) const STATEMENTS: &[Sql] = &[same(BEGAN), same(SHOW), same(REFRESHED), same(TELL), HIDE, ALL];

/// Shows this process; the guard keeps the row fresh and takes it away.
pub(crate) async fn announce(db: &Database, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError> {
    let sign = liveness::sign(db, &worker.name).await?;
    let before = db.sql(BEGAN).bind(&worker.name).optional::<Timestamp>().await?;
    let reborn = before.is_some_and(|at| at.as_microsecond() != worker.started_at.as_microsecond());
    if reborn && sign.is_some() {
        // To the end: from here on the name is alive again.
        while rescue::rescue_from(db, std::slice::from_ref(&worker.name)).await? != Rescued::default() {}
    }
    let tx = db.begin_with(Durability::Relaxed).await?;
    tx.sql(park::ANNOUNCING).all::<String>().await?;
    let show = tx.sql(SHOW).bind(&worker.name).bind(&worker.queues).bind(worker.started_at);
    show.bind(sign.is_some())
        .bind(park::kinds(worker))
        .bind(Trouble::written(&worker.troubles))
        .run()
        .await?;
    tx.commit().await?;
    // From here on nobody parks what this worker knows for good.
    let refresher = tokio::spawn(refresh(db.clone(), worker.clone(), sign.clone()));
    let (name, started_at) = (worker.name.clone(), worker.started_at);
    Ok(Arc::new(Announcement { db: db.clone(), name, started_at, sign, refresher }))
}

/// Writes down what keeps this worker from its work.
pub(crate) async fn tell(db: &Database, worker: &WorkerName, troubles: &[Trouble]) -> Result<(), StoreError> {
    db.sql(TELL).bind(worker).bind(Trouble::written(troubles)).relaxed().run().await.map(drop)
}

/// Every worker that was seen in the last minute.
pub(crate) async fn workers(db: &Database) -> Result<Vec<WorkerRecord>, StoreError> {
    Ok(db.sql(ALL).all::<WorkerRow>().await?.into_iter().filter_map(|row| row.0).collect())
}

struct Announcement {
    db: Database,
    name: WorkerName,
    started_at: Timestamp,
    sign: Option<Arc<dyn Liveness>>,
    refresher: JoinHandle<()>,
}

impl Liveness for Announcement {
    fn stands(&self) -> bool {
        self.sign.as_ref().is_none_or(|sign| sign.stands())
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        self.refresher.abort();
        let (db, name, started_at) = (self.db.clone(), self.name.clone(), self.started_at);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // A courtesy: without it the row is no longer shown after a minute.
            runtime.spawn(async move { db.sql(HIDE).bind(&name).bind(started_at).relaxed().run().await });
        }
    }
}

/// What was parked while the row was old, because the database was away, is offered again as well. A sign that fell leaves
/// that to the announcement after it.
async fn refresh(db: Database, worker: WorkerRecord, sign: Option<Arc<dyn Liveness>>) {
    loop {
        if sign.as_ref().is_some_and(|sign| !sign.stands()) {
            tokio::time::sleep(REFRESH).await;
            continue;
        }
        match park::offer(&db, &worker).await {
            Ok(0) => {}
            Ok(offered) => {
                tracing::info!(offered, "parked jobs are offered again: this worker knows their kinds")
            }
            Err(error) => tracing::debug!(%error, "parked jobs could not be offered"),
        }
        tokio::time::sleep(REFRESH).await;
        if let Err(error) = db.sql(REFRESHED).bind(&worker.name).relaxed().run().await {
            tracing::debug!(%error, "the worker's row was not refreshed");
        }
    }
}

/// `None`: a row that somebody wrote by hand, under a name that no worker has. It fails no list of the others.
struct WorkerRow(Option<WorkerRecord>);

impl FromRow for WorkerRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let Ok(name) = WorkerName::new(row.at::<String>(0)?) else { return Ok(Self(None)) };
        Ok(Self(Some(WorkerRecord {
            name,
            queues: row.at(1)?,
            kinds: row.at::<String>(2)?.split(',').filter_map(|kind| Kind::new(kind).ok()).collect(),
            started_at: row.at(3)?,
            seen_at: row.at(4)?,
            running: row.at(5)?,
            troubles: Trouble::read(&row.at::<String>(6)?),
        })))
    }
}
