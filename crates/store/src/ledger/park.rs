//! Jobs of a foreign broker whose kind their worker does not know: kept here, and published again for one that does.
//!
//! The broker can only give such a message to the next worker, whoever that is. So the ledger takes it in, as a job that
//! somebody enqueued here. It waits for the announcement of a worker that knows its kind; while such a worker lives
//! already it goes back after a moment, and a longer one each time, because the same ignorant worker may get it again.

use backshift_core::{JobId, Lease, StoreError, Token, store::WorkerRecord};

use super::{both::only_sqlite, large::large};
use crate::{
    Column, Database, Durability, Sql, Tx,
    sqlite::{self, Connection},
};

/// Whoever announces kinds holds this exclusively, whoever parks shares it: a job is parked before or after an
/// announcement and never beside it.
pub(crate) const ANNOUNCING: Sql = Sql {
    pg: "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.job_workers', 0))::text",
    sqlite: "SELECT '1'",
};
const PARKING: Sql = Sql {
    pg: "SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || '.job_workers', 0))::text",
    sqlite: "SELECT '1'",
};

/// `$1` job, `$2` token, one of many. The payload must be here whole, for it is published from here.
pub(crate) const PARK: Sql = Sql {
    pg: concat!(
        "WITH f AS MATERIALIZED (SELECT f.id, f.token, EXISTS (SELECT 1 FROM job_workers w \
         WHERE w.seen_at > clock_timestamp() - interval '1 minute' \
         AND strpos(',' || w.kinds || ',', ',' || j.job_type || ',') > 0 \
         AND strpos(',' || w.queues, ',' || j.queue || ':') > 0) AS known \
         FROM unnest($1::uuid[], $2::bigint[]) AS f(id, token) JOIN background_jobs j ON j.id = f.id), \
         parked AS (UPDATE background_jobs j SET status = 'available', \
         aside = CASE WHEN NOT f.known THEN j.job_type END, \
         published_at = CASE WHEN NOT f.known THEN COALESCE(j.published_at, clock_timestamp()) END, \
         unpublished = CASE WHEN f.known THEN j.broker END, \
         publish_hold_until = CASE WHEN f.known THEN clock_timestamp() \
         + LEAST(30, power(2, LEAST(j.token, 12) - 6)) * interval '1 second' END, \
         error_message = 'parked: worker ' || COALESCE(j.worker, '?') || ' has no handler for kind ' || j.job_type \
         || '; it stays until one comes', error_fingerprint = NULL, reason = 'unknown-kind', updated_at = clock_timestamp() \
         FROM f WHERE j.id = f.id AND j.token = f.token AND j.status = 'running' AND j.broker <> 'postgres' \
         AND NOT (j.superseded OR j.cancel_requested) \
         AND NOT (j.sensitive OR ",
        large!("j."),
        ") \
         AND j.payload IS NOT NULL AND length(j.payload) = j.payload_size \
         RETURNING j.id, j.token, j.attempts, j.worker, j.started_at, j.error_message), \
         noted AS (INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, error) \
         SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), \
         clock_timestamp(), 'released', error_message FROM parked ON CONFLICT (job_id, token) DO UPDATE SET \
         ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error) \
         SELECT id FROM parked"
    ),
    sqlite: concat!(
        "UPDATE background_jobs SET status = 'available', \
             aside = CASE WHEN NOT f.known THEN job_type END, \
             published_at = CASE WHEN NOT f.known THEN COALESCE(published_at, clock_timestamp()) END, \
             publish_hold_until = CASE WHEN f.known THEN clock_timestamp() \
             + MIN(30000000, 15625 << MIN(token, 12)) END, \
             error_message = 'parked: worker ' || COALESCE(worker, '?') || ' has no handler for kind ' || job_type \
             || '; it stays until one comes', error_fingerprint = NULL, reason = 'unknown-kind', updated_at = clock_timestamp() \
             FROM (SELECT EXISTS (SELECT 1 FROM job_workers w JOIN background_jobs j ON j.id = $1 \
             WHERE w.seen_at > clock_timestamp() - 60000000 \
             AND instr(',' || w.kinds || ',', ',' || j.job_type || ',') > 0 \
             AND instr(',' || w.queues, ',' || j.queue || ':') > 0) AS known) f \
             WHERE id = $1 AND token = $2 AND status = 'running' AND broker <> 'embedded' \
             AND NOT (superseded OR cancel_requested) AND NOT (sensitive OR ",
        large!(""),
        ") \
             AND payload IS NOT NULL AND length(payload) = payload_size \
             RETURNING id"
    ),
};
/// The start that ended with it: `$1` job, `$2` token.
const RELEASED_LITE: &str = "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, \
     error) SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), \
     clock_timestamp(), 'released', error_message FROM background_jobs WHERE id = $1 AND token = $2 \
     ON CONFLICT (job_id, token) DO UPDATE SET \
     ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error";

/// The most jobs that one call offers again.
const BATCH: u32 = 1000;

/// `$1` kinds, `$2` queues, both comma-separated, `$3` at most: to be published again.
pub(crate) const OFFER: Sql = Sql {
    pg: "UPDATE background_jobs j SET aside = NULL, published_at = NULL, unpublished = j.broker, \
         publish_hold_until = clock_timestamp(), updated_at = clock_timestamp() WHERE j.id IN (\
         SELECT b.id FROM background_jobs b WHERE b.aside = ANY (string_to_array($1, ',')) \
         AND b.queue = ANY (string_to_array($2, ',')) AND b.aside IS NOT NULL \
         AND b.status = 'available' AND b.broker <> 'postgres' LIMIT $3 FOR UPDATE SKIP LOCKED)",
    sqlite: "UPDATE background_jobs SET aside = NULL, published_at = NULL, \
             publish_hold_until = clock_timestamp(), updated_at = clock_timestamp() WHERE rowid IN (\
             SELECT b.rowid FROM background_jobs b INDEXED BY background_jobs_parked WHERE b.aside IS NOT NULL \
             AND b.status = 'available' AND instr(',' || $2 || ',', ',' || b.queue || ',') > 0 \
             AND instr(',' || $1 || ',', ',' || b.aside || ',') > 0 AND b.broker <> 'embedded' LIMIT $3)",
};

pub(crate) const STATEMENTS: &[Sql] = &[ANNOUNCING, PARKING, PARK, OFFER, only_sqlite(RELEASED_LITE)];

/// Parks running jobs; for each whether it was. What was not has to go back to its broker.
pub(crate) async fn park(db: &Database, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
    // In the order of ids, so that two batches cannot wait for each other.
    let mut sorted: Vec<(JobId, Token)> = leases.iter().map(|lease| (lease.job, lease.token)).collect();
    sorted.sort_unstable();
    let parked: Vec<JobId> = match db {
        Database::Pg(_) => {
            let tx = db.begin().await?;
            tx.sql(PARKING).all::<String>().await?;
            let parked = on_pg(&tx, &sorted).await?;
            tx.commit().await?;
            parked
        }
        Database::Sqlite(file) => {
            file.write(Durability::Strict, move |on: &Connection| park_on(on, &sorted)).await?
        }
    };
    Ok(leases.iter().map(|lease| parked.contains(&lease.job)).collect())
}

async fn on_pg(tx: &Tx, leases: &[(JobId, Token)]) -> Result<Vec<JobId>, StoreError> {
    let ids = Column::from(leases.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let tokens = Column::from(leases.iter().map(|(_, token)| *token).collect::<Vec<_>>());
    tx.sql(PARK).columns([ids, tokens]).all().await
}

/// On the writer thread.
fn park_on(connection: &Connection, leases: &[(JobId, Token)]) -> Result<Vec<JobId>, StoreError> {
    let mut parked = Vec::new();
    for (id, token) in leases {
        let values = [(*id).into(), (*token).into()];
        let done: Vec<JobId> = sqlite::query(connection, PARK.sqlite, &values)?;
        if !done.is_empty() {
            sqlite::run(connection, RELEASED_LITE, &values)?;
        }
        parked.extend(done);
    }
    Ok(parked)
}

/// Lets the relay publish what was parked of the kinds that this worker knows, in the queues that it works.
pub(crate) async fn offer(db: &Database, worker: &WorkerRecord) -> Result<u64, StoreError> {
    let queues: Vec<&str> = worker.queue_names().collect();
    let mut offered = 0;
    loop {
        let query = db.sql(OFFER).bind(kinds(worker)).bind(queues.join(",")).bind(BATCH);
        let some = query.run().await?;
        offered += some;
        if some < u64::from(BATCH) {
            return Ok(offered);
        }
    }
}

/// As the workers' table holds them: names of kinds hold no comma.
pub(crate) fn kinds(worker: &WorkerRecord) -> String {
    worker.kinds.iter().map(backshift_core::Kind::as_str).collect::<Vec<_>>().join(",")
}
