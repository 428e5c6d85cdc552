//! Jobs come back when their lease is over or their worker is dead, never because they are old.
//!
//! Only jobs of the SQL broker, and those of a foreign one whose message was handed over: another message is redelivered by
//! its broker, and the crash is counted when the redelivery takes the row over.

use backshift_core::{JobId, State, StoreError, Token, WorkerName, store::Rescued};

use super::{both::only_sqlite, large::large_abroad};
use crate::{
    Column, Database, Durability, Sql, liveness,
    sqlite::{self, Connection},
};

/// Workers that hold something and whose sign of life can be asked for.
pub(crate) const HOLDERS: Sql = Sql {
    pg: "SELECT DISTINCT w.name FROM job_workers w JOIN job_claims h ON h.worker = w.name WHERE w.signed",
    sqlite: "SELECT DISTINCT w.name FROM job_workers w \
             JOIN background_jobs j ON j.worker = w.name AND j.status = 'running' WHERE w.signed",
};

/// `$1`: dead workers. Before [`RESCUE`]: what no heartbeat has written yet is written, so that it is met there.
pub(crate) const SHOW_LOST: &str = "SELECT backshift_show_lost($1::text[])::text";

/// `$1`: dead workers. The crash counters decide between running again, running alone, and dead. Only claims are looked into whose
/// first lease may be over: each then says when that can be again, so that a fleet does not read all that it runs again and
/// again. A claim of which nothing runs any more goes.
pub(crate) const RESCUE: &str = concat!(
    "WITH doubtful AS MATERIALIZED (SELECT * FROM job_claims h \
     WHERE h.lease_until < (SELECT clock_timestamp()) OR h.worker = ANY($1::text[]) \
     ORDER BY h.lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED), \
     held AS MATERIALIZED (SELECT h.id AS claim, j.id, \
     CASE WHEN j.status = 'running' THEN j.lease_until ELSE h.lease_until END AS until, \
     (j.status = 'running' AND (j.lease_until < (SELECT clock_timestamp()) OR j.worker = ANY($1::text[]))) AS lost \
     FROM doubtful h CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS u(job, token) JOIN background_jobs j ON j.id = u.job \
     WHERE (j.status = 'running' AND j.token = u.token AND (j.broker = 'postgres' OR j.published_at IS NULL)) \
     OR (j.status = 'available' AND j.broker = 'postgres' AND j.token = u.token - 1)), \
     lost AS MATERIALIZED (SELECT id FROM background_jobs WHERE id IN (SELECT id FROM held WHERE held.lost LIMIT 1000) \
     AND status = 'running' AND (lease_until < clock_timestamp() OR worker = ANY($1::text[])) \
     FOR UPDATE SKIP LOCKED), \
     emptied AS (DELETE FROM job_claims WHERE id IN (SELECT id FROM doubtful) AND id NOT IN (SELECT claim FROM held)), \
     standing AS (UPDATE job_claims h SET lease_until = s.until FROM (SELECT claim, COALESCE(min(until), clock_timestamp()) AS until FROM held GROUP BY claim) s \
     WHERE h.id = s.claim), \
     back AS (UPDATE background_jobs j SET \
     status = CASE WHEN j.superseded OR j.cancel_requested THEN 'cancelled' \
     WHEN j.crashes >= 3 AND j.lonely_crashes >= 19 THEN 'dead' ELSE 'available' END, \
     reason = CASE WHEN NOT (j.superseded OR j.cancel_requested) AND j.crashes >= 3 AND j.lonely_crashes >= 19 \
     THEN 'crash-loop' END, \
     finished_at = CASE WHEN j.superseded OR j.cancel_requested OR (j.crashes >= 3 AND j.lonely_crashes >= 19) \
     THEN clock_timestamp() END, \
     crashes = j.crashes + 1, \
     lonely_crashes = j.lonely_crashes + CASE WHEN j.crashes >= 3 THEN 1 ELSE 0 END, \
     error_message = CASE WHEN j.crashes >= 3 AND j.lonely_crashes >= 19 THEN 'crash-loop: ' ELSE '' END \
     || 'worker ' || COALESCE(j.worker, '?') || ' ended without a result', \
     seat = CASE WHEN NOT (j.cancel_requested OR (j.crashes >= 3 AND j.lonely_crashes >= 19)) THEN j.seat END, \
     leaving = NULL, \
     abroad = CASE WHEN NOT (j.superseded OR j.cancel_requested OR (j.crashes >= 3 AND j.lonely_crashes >= 19)) \
     THEN j.abroad END, \
     unpublished = CASE WHEN j.abroad IS NOT NULL AND NOT (j.superseded OR j.cancel_requested) THEN j.broker END, \
     payload = CASE WHEN ",
    large_abroad!(pg),
    " AND (j.superseded OR j.cancel_requested) \
     THEN NULL ELSE j.payload END, \
     kept = CASE WHEN j.superseded OR j.cancel_requested THEN false \
     WHEN j.crashes >= 3 AND j.lonely_crashes >= 19 THEN true END, \
     updated_at = clock_timestamp() FROM lost WHERE j.id = lost.id \
     RETURNING j.id, j.token, j.status, j.attempts, j.worker, j.started_at), \
     noted AS (INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, error) \
     SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), clock_timestamp(), \
     'crash', 'the lease ended without a result' FROM back ON CONFLICT (job_id, token) DO UPDATE SET \
     ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error) \
     SELECT status FROM back"
);

pub(crate) const LOST_LITE: &str = "SELECT id, token FROM background_jobs WHERE status = 'running' \
     AND (broker = 'embedded' OR published_at IS NULL) AND lease_until < clock_timestamp() LIMIT 1000";
pub(crate) const ORPHANS_LITE: &str = "SELECT id, token FROM background_jobs WHERE status = 'running' \
     AND (broker = 'embedded' OR published_at IS NULL) AND worker = $1 LIMIT 1000";
pub(crate) const RETURN_LITE: &str = concat!(
    "UPDATE background_jobs SET \
     status = CASE WHEN superseded OR cancel_requested THEN 'cancelled' \
     WHEN crashes >= 3 AND lonely_crashes >= 19 THEN 'dead' ELSE 'available' END, \
     reason = CASE WHEN NOT (superseded OR cancel_requested) AND crashes >= 3 AND lonely_crashes >= 19 \
     THEN 'crash-loop' END, \
     finished_at = CASE WHEN superseded OR cancel_requested OR (crashes >= 3 AND lonely_crashes >= 19) \
     THEN clock_timestamp() END, \
     crashes = crashes + 1, lonely_crashes = lonely_crashes + CASE WHEN crashes >= 3 THEN 1 ELSE 0 END, \
     error_message = CASE WHEN crashes >= 3 AND lonely_crashes >= 19 THEN 'crash-loop: ' ELSE '' END \
     || 'worker ' || COALESCE(worker, '?') || ' ended without a result', \
     payload = CASE WHEN ",
    large_abroad!(sqlite),
    " AND (superseded OR cancel_requested) \
     THEN NULL ELSE payload END, \
     updated_at = clock_timestamp() WHERE id = $1 AND token = $2 AND status = 'running' RETURNING status"
);

pub(crate) const STATEMENTS: &[Sql] = &[
    HOLDERS,
    Sql { pg: SHOW_LOST, sqlite: LOST_LITE },
    Sql { pg: RESCUE, sqlite: RETURN_LITE },
    only_sqlite(ORPHANS_LITE),
];

/// Returns what nobody works on any more.
pub(crate) async fn rescue(db: &Database) -> Result<Rescued, StoreError> {
    let dead = liveness::dead_workers(db, &holders(db).await?).await?;
    rescue_from(db, &dead).await
}

/// In whose names something runs.
pub(crate) async fn holders(db: &Database) -> Result<Vec<WorkerName>, StoreError> {
    let holders = db.sql(HOLDERS).all::<String>().await?;
    Ok(holders.iter().filter_map(|name| WorkerName::new(name).ok()).collect())
}

/// The same when it is known already who is dead.
pub(crate) async fn rescue_from(db: &Database, dead: &[WorkerName]) -> Result<Rescued, StoreError> {
    let states = match db {
        Database::Pg(_) => {
            let names = Column::from(dead.iter().collect::<Vec<_>>());
            db.sql(SHOW_LOST).column(names.clone()).all::<Option<String>>().await?;
            db.sql(RESCUE).by_index().column(names).all::<String>().await?
        }
        Database::Sqlite(lite) => {
            let dead = dead.to_vec();
            lite.write(Durability::Strict, move |on: &Connection| rescue_on(on, &dead)).await?
        }
    };
    let count = |state: State| states.iter().filter(|s| *s == state.as_str()).count() as u64;
    Ok(Rescued { returned: count(State::Available), dead: count(State::Dead) })
}

/// On the writer thread.
fn rescue_on(connection: &Connection, dead: &[WorkerName]) -> Result<Vec<String>, StoreError> {
    let mut lost: Vec<(JobId, Token)> = sqlite::query(connection, LOST_LITE, &[])?;
    for worker in dead {
        lost.extend(sqlite::query::<(JobId, Token)>(connection, ORPHANS_LITE, &[worker.into()])?);
    }
    let mut states = Vec::with_capacity(lost.len());
    for (id, token) in lost {
        for state in sqlite::query::<String>(connection, RETURN_LITE, &[id.into(), token.into()])? {
            sqlite::run(connection, super::takeover::CRASHED, &[id.into(), token.into()])?;
            states.push(state);
        }
    }
    Ok(states)
}
