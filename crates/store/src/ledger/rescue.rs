//! Jobs come back when their lease is over or their worker is dead, never because they are old.
//!
//! Only jobs of the SQL broker: a foreign broker redelivers by itself, and the crash is counted when the
//! redelivery takes the row over.

use backshift_core::{JobId, State, StoreError, Token, WorkerName, store::Rescued};
use rusqlite::Connection;

use super::both::{only_sqlite, same};
use crate::{Column, Database, Durability, Sql, liveness, sqlite};

/// Workers that hold something and whose sign of life can be asked for.
pub(crate) const HOLDERS: &str = "SELECT DISTINCT w.name FROM job_workers w \
     JOIN background_jobs j ON j.worker = w.name AND j.status = 'running' WHERE w.signed";

/// `$1`: dead workers. The crash counters decide between running again, running alone, and dead.
pub(crate) const RESCUE: &str = "WITH lost AS MATERIALIZED (SELECT id FROM background_jobs \
     WHERE status = 'running' AND broker = 'postgres' \
     AND (lease_until < (SELECT clock_timestamp()) OR worker = ANY($1::text[])) LIMIT 1000 FOR UPDATE SKIP LOCKED), \
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
     updated_at = clock_timestamp() FROM lost WHERE j.id = lost.id RETURNING j.id, j.token, j.status), \
     noted AS (UPDATE job_attempts a SET ended_at = clock_timestamp(), outcome = 'crash', \
     error = 'the lease ended without a result' FROM back WHERE a.job_id = back.id AND a.token = back.token) \
     SELECT status FROM back";

pub(crate) const LOST_LITE: &str = "SELECT id, token FROM background_jobs WHERE status = 'running' \
     AND broker = 'embedded' AND lease_until < clock_timestamp() LIMIT 1000";
pub(crate) const ORPHANS_LITE: &str = "SELECT id, token FROM background_jobs WHERE status = 'running' \
     AND broker = 'embedded' AND worker = $1 LIMIT 1000";
pub(crate) const RETURN_LITE: &str = "UPDATE background_jobs SET \
     status = CASE WHEN superseded OR cancel_requested THEN 'cancelled' \
     WHEN crashes >= 3 AND lonely_crashes >= 19 THEN 'dead' ELSE 'available' END, \
     reason = CASE WHEN NOT (superseded OR cancel_requested) AND crashes >= 3 AND lonely_crashes >= 19 \
     THEN 'crash-loop' END, \
     finished_at = CASE WHEN superseded OR cancel_requested OR (crashes >= 3 AND lonely_crashes >= 19) \
     THEN clock_timestamp() END, \
     crashes = crashes + 1, lonely_crashes = lonely_crashes + CASE WHEN crashes >= 3 THEN 1 ELSE 0 END, \
     error_message = CASE WHEN crashes >= 3 AND lonely_crashes >= 19 THEN 'crash-loop: ' ELSE '' END \
     || 'worker ' || COALESCE(worker, '?') || ' ended without a result', \
     updated_at = clock_timestamp() WHERE id = $1 AND token = $2 AND status = 'running' RETURNING status";

pub(crate) const STATEMENTS: &[Sql] = &[
    same(HOLDERS),
    Sql { pg: RESCUE, sqlite: RETURN_LITE },
    only_sqlite(LOST_LITE),
    only_sqlite(ORPHANS_LITE),
];

/// Returns what nobody works on any more.
pub(crate) async fn rescue(db: &Database) -> Result<Rescued, StoreError> {
    let holders = db.sql(HOLDERS).all::<String>().await?;
    let holders: Vec<WorkerName> = holders.iter().filter_map(|name| WorkerName::new(name).ok()).collect();
    let dead = liveness::dead_workers(db, &holders).await?;
    rescue_from(db, &dead).await
}

/// The same when it is known already who is dead.
pub(crate) async fn rescue_from(db: &Database, dead: &[WorkerName]) -> Result<Rescued, StoreError> {
    let states = match db {
        Database::Pg(_) => {
            let names = Column::from(dead.iter().collect::<Vec<_>>());
            db.sql(RESCUE).column(names).all::<String>().await?
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
