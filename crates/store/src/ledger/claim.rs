//! Taking jobs of the SQL brokers: the claim is already the ledger's row, so nothing is written twice.
//!
//! A job that ended its worker three times is never among others: `claim_alone` takes it as its own batch.

use backshift_core::{
    Envelope, QueueName, StoreError, Timestamp,
    store::{Holder, Start},
};
use rusqlite::Connection;

use super::{both::only_sqlite, entry::lease_us, job_row::ClaimedRow};
use crate::{Database, Durability, Sql, Value, sqlite};

/// `$1` queue, `$2` at most, `$3` worker, `$4` lease in microseconds. One statement, attempts rows included.
pub(crate) const CLAIM: &str = "WITH picked AS MATERIALIZED (SELECT p AS id FROM backshift_pick($1, $2::int) p \
     WHERE NOT EXISTS (SELECT 1 FROM job_queues WHERE name = $1 AND paused)), \
     started AS (UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, \
     worker = $3, lease_until = clock_timestamp() + $4 * interval '1 microsecond', started_at = clock_timestamp(), \
     updated_at = clock_timestamp(), cancel_requested = false \
     FROM picked WHERE j.id = picked.id AND j.status = 'available' RETURNING j.*), \
     noted AS (INSERT INTO job_attempts (job_id, token, attempt, worker, started_at) \
     SELECT id, token, attempts, worker, started_at FROM started) \
     SELECT id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
     unique_policy, idempotency_key, user_id, created_at, token, lease_until, crashes FROM started";

/// The same for one job that must run alone.
pub(crate) const CLAIM_ALONE: &str = "WITH picked AS MATERIALIZED (SELECT p AS id FROM backshift_pick_alone($1) p \
     WHERE $2 > 0 AND NOT EXISTS (SELECT 1 FROM job_queues WHERE name = $1 AND paused)), \
     started AS (UPDATE background_jobs j SET status = 'running', token = j.token + 1, attempts = j.failures + 1, \
     worker = $3, lease_until = clock_timestamp() + $4 * interval '1 microsecond', started_at = clock_timestamp(), \
     updated_at = clock_timestamp(), cancel_requested = false \
     FROM picked WHERE j.id = picked.id AND j.status = 'available' RETURNING j.*), \
     noted AS (INSERT INTO job_attempts (job_id, token, attempt, worker, started_at) \
     SELECT id, token, attempts, worker, started_at FROM started) \
     SELECT id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
     unique_policy, idempotency_key, user_id, created_at, token, lease_until, crashes FROM started";

macro_rules! claim_lite {
    ($index:literal, $crashes:literal) => {
        concat!(
            "UPDATE background_jobs SET status = 'running', token = token + 1, attempts = failures + 1, \
             worker = $3, lease_until = $5 + $4, started_at = $5, updated_at = $5, cancel_requested = 0 \
             WHERE rowid IN (SELECT j.rowid FROM background_jobs j INDEXED BY ", $index,
            " WHERE j.status = 'available' AND j.broker = 'embedded' AND j.", $crashes, " AND j.queue = $1 \
             AND (j.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM background_jobs r \
             WHERE r.superseded = 1 AND r.status = 'running' AND r.unique_key = j.unique_key)) \
             ORDER BY j.priority DESC, j.run_at, j.id LIMIT $2) \
             RETURNING id, job_type, queue, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
             unique_policy, idempotency_key, user_id, created_at, token, lease_until, crashes"
        )
    };
}

pub(crate) const CLAIM_LITE: &str = claim_lite!("background_jobs_claim", "crashes < 3");
pub(crate) const CLAIM_ALONE_LITE: &str = claim_lite!("background_jobs_claim_alone", "crashes >= 3");
pub(crate) const PAUSED_LITE: &str = "SELECT 1 FROM job_queues WHERE name = $1 AND paused = 1";
/// `$1` job, `$2` token, `$3` attempt, `$4` worker, `$5` time.
pub(crate) const START_LITE: &str =
    "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at) VALUES ($1, $2, $3, $4, $5)";

pub(crate) const STATEMENTS: &[Sql] = &[
    Sql { pg: CLAIM, sqlite: CLAIM_LITE },
    Sql { pg: CLAIM_ALONE, sqlite: CLAIM_ALONE_LITE },
    only_sqlite(PAUSED_LITE),
    only_sqlite(START_LITE),
];

/// Takes up to `limit` due jobs of this queue, the most urgent first; none from a paused queue.
pub async fn claim_available(
    db: &Database,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
) -> Result<Vec<(Envelope, Start)>, StoreError> {
    claim(db, Sql { pg: CLAIM, sqlite: CLAIM_LITE }, queue, limit, holder).await
}

/// Takes one job that must run alone in its process, if there is one: nothing else may run beside it.
pub async fn claim_alone(
    db: &Database,
    queue: &QueueName,
    holder: &Holder,
) -> Result<Option<(Envelope, Start)>, StoreError> {
    let statement = Sql { pg: CLAIM_ALONE, sqlite: CLAIM_ALONE_LITE };
    Ok(claim(db, statement, queue, 1, holder).await?.pop())
}

async fn claim(
    db: &Database,
    statement: Sql,
    queue: &QueueName,
    limit: u32,
    holder: &Holder,
) -> Result<Vec<(Envelope, Start)>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let values = vec![
        queue.into(),
        i64::from(limit.min(10_000)).into(),
        (&holder.worker).into(),
        lease_us(holder).into(),
    ];
    let mut rows: Vec<ClaimedRow> = match db {
        Database::Pg(_) => {
            let query = db.sql(statement).relaxed();
            values.into_iter().fold(query, |query, value: Value| query.bind(value)).all().await?
        }
        Database::Sqlite(lite) => {
            let work = move |connection: &Connection| start_on(connection, statement.sqlite, &values);
            lite.write(Durability::Relaxed, work).await?
        }
    };
    rows.sort_unstable_by_key(ClaimedRow::place);
    Ok(rows.into_iter().map(|row| (row.envelope, row.start)).collect())
}

/// On the writer thread.
fn start_on(connection: &Connection, text: &str, values: &[Value]) -> Result<Vec<ClaimedRow>, StoreError> {
    let queue = values.first().cloned().unwrap_or(Value::Text(None));
    if !sqlite::query::<i64>(connection, PAUSED_LITE, std::slice::from_ref(&queue))?.is_empty() {
        return Ok(Vec::new());
    }
    let now = Timestamp::now();
    let mut values = values.to_vec();
    let worker = values.get(2).cloned().unwrap_or(Value::Text(None));
    values.push(now.into());
    let rows: Vec<ClaimedRow> = sqlite::query(connection, text, &values)?;
    for row in &rows {
        let lease = row.start.lease;
        let start =
            [lease.job.into(), lease.token.into(), row.start.attempt.into(), worker.clone(), now.into()];
        sqlite::run(connection, START_LITE, &start)?;
    }
    Ok(rows)
}
