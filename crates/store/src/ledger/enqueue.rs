//! Accepting jobs: one statement for a whole batch, and a second look only at what was not inserted.
//!
//! A conflict is the exception: a known id, a known idempotency key, or a held unique key. Each is settled alone.

use std::{collections::HashSet, sync::Arc};

use backshift_core::{Accepted, Bytes, Envelope, JobId, QueueName, StoreError};

use super::{
    both::{only_sqlite, same},
    entry::{Entry, columns},
    lite, unique,
};
use crate::{Database, Durability, Sql, sqlite::Connection};

/// `$1` is the broker, the rest are columns. Times are the database's; the position in the batch breaks ties.
pub(crate) const ENQUEUE: Sql = Sql {
    pg: "INSERT INTO background_jobs (id, user_id, job_type, status, created_at, updated_at, queue, broker, \
         payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, run_at, \
         unique_key, unique_policy, idempotency_key, seat, abroad, unpublished) \
         SELECT r.id, r.user_id, r.job_type, CASE WHEN r.run_at > t.now THEN 'scheduled' ELSE 'available' END, \
         t.now + r.n * interval '1 microsecond', t.now, r.queue, $1, r.payload, r.hash, r.size, r.headers, \
         r.sensitive, r.priority, r.max_attempts, r.failures, \
         CASE WHEN r.run_at > t.now THEN r.run_at ELSE t.now + r.n * interval '1 microsecond' END, \
         r.unique_key, r.unique_policy, r.idempotency_key, r.unique_key, \
         CASE WHEN $1 <> 'postgres' THEN r.queue END, CASE WHEN $1 <> 'postgres' THEN $1 END \
         FROM (SELECT clock_timestamp() AS now) t, unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], \
         $6::bytea[], $7::bytea[], $8::bigint[], $9::text[], $10::boolean[], $11::bigint[], $12::bigint[], \
         $13::bigint[], $14::timestamptz[], $15::text[], $16::text[], $17::text[], $18::bigint[]) \
         AS r(id, user_id, job_type, queue, payload, hash, size, headers, sensitive, priority, max_attempts, \
         failures, run_at, unique_key, unique_policy, idempotency_key, n) \
         ON CONFLICT DO NOTHING RETURNING id",
    sqlite: "INSERT INTO background_jobs (id, user_id, job_type, status, created_at, updated_at, queue, broker, \
             payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, run_at, \
             unique_key, unique_policy, idempotency_key) \
             SELECT $2, $3, $4, CASE WHEN $14 > t.now THEN 'scheduled' ELSE 'available' END, t.now + $18, t.now, \
             $5, $1, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $14 > t.now THEN $14 ELSE t.now + $18 END, \
             $15, $16, $17 FROM (SELECT clock_timestamp() AS now LIMIT 1) t WHERE true \
             ON CONFLICT DO NOTHING RETURNING id",
};

/// Who was accepted before under this id or idempotency key; the id itself first.
pub(crate) const KNOWN: &str = "SELECT id, payload_hash FROM background_jobs \
     WHERE id = $1 OR idempotency_key = $2 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END LIMIT 1";

/// Makes a queue known, so that it is shown before its first job and after its last one.
pub(crate) const DECLARE: &str = "INSERT INTO job_queues (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
pub(crate) const DECLARED: &str = "SELECT name FROM job_queues WHERE name = $1";

/// Whether a queue is declared or a job waits in it, each found by an index of its name. Ordered and no `EXISTS`, which
/// PostgreSQL would answer by reading the whole table where it believes that many rows match.
pub(crate) const MET: Sql = Sql {
    pg: "SELECT (SELECT name FROM job_queues WHERE name = $1) IS NOT NULL \
         OR (SELECT id FROM job_line WHERE ready AND NOT alone AND aside IS NULL AND queue = $1 \
         ORDER BY priority DESC, run_at, id LIMIT 1) IS NOT NULL \
         OR (SELECT id FROM job_line WHERE ready AND NOT alone AND aside IS NOT NULL AND queue = $1 \
         ORDER BY aside, priority DESC, run_at, id LIMIT 1) IS NOT NULL \
         OR (SELECT id FROM job_line WHERE ready AND alone AND queue = $1 \
         ORDER BY priority DESC, run_at, id LIMIT 1) IS NOT NULL \
         OR (SELECT id FROM background_jobs WHERE abroad IS NOT NULL AND abroad = $1 \
         ORDER BY unpublished, aside, run_at LIMIT 1) IS NOT NULL",
    sqlite: "SELECT EXISTS (SELECT 1 FROM job_queues WHERE name = $1) \
             OR EXISTS (SELECT 1 FROM background_jobs WHERE status = 'available' AND broker = 'embedded' \
             AND crashes < 3 AND aside IS NULL AND queue = $1) \
             OR EXISTS (SELECT 1 FROM background_jobs WHERE aside IS NOT NULL AND status = 'available' \
             AND broker = 'embedded' AND crashes < 3 AND queue = $1) \
             OR EXISTS (SELECT 1 FROM background_jobs WHERE crashes >= 3 AND status = 'available' \
             AND broker = 'embedded' AND queue = $1) \
             OR EXISTS (SELECT 1 FROM background_jobs WHERE broker <> 'embedded' \
             AND status IN ('scheduled', 'available', 'retrying') AND queue = $1)",
};

pub(crate) const STATEMENTS: &[Sql] =
    &[ENQUEUE, same(KNOWN), same(DECLARE), same(DECLARED), MET, only_sqlite(lite::INSERT)];

/// How often a unique key may change hands while one enqueue looks at it.
const TRIES: u32 = 5;

/// Accepts jobs durably; one answer each, in order. Each job stands alone: one that is refused takes none with it.
/// `Unavailable` means unknown: enqueue the same ids again.
pub async fn enqueue(db: &Database, broker: &str, batch: Vec<Envelope>) -> Vec<Result<Accepted, StoreError>> {
    let checked: Arc<[Result<Entry, StoreError>]> = batch.into_iter().map(Entry::new).collect();
    let inserted = match checked.iter().any(Result::is_ok) {
        true => insert(db, broker, &checked).await,
        false => Ok(Vec::new()),
    };
    let mut fresh = match inserted {
        Ok(fresh) => fresh.into_iter(),
        Err(error) => return checked.iter().map(|entry| Err(refusal(entry, &error))).collect(),
    };
    let mut answers = Vec::with_capacity(checked.len());
    for entry in checked.iter() {
        answers.push(match entry {
            Ok(entry) if fresh.next() == Some(true) => Ok(Accepted::New(entry.id())),
            Ok(entry) => conflict(db, broker, entry).await,
            Err(error) => Err(error.clone()),
        });
    }
    answers
}

/// Inserts the legal ones; for each of them whether it was inserted.
async fn insert(
    db: &Database,
    broker: &str,
    checked: &Arc<[Result<Entry, StoreError>]>,
) -> Result<Vec<bool>, StoreError> {
    let Database::Sqlite(file) = db else {
        let legal: Vec<&Entry> = checked.iter().flatten().collect();
        let ids = db.sql(ENQUEUE).bind(broker).columns(columns(&legal)).all::<JobId>().await?;
        let mut ids: HashSet<JobId> = ids.into_iter().collect();
        return Ok(legal.iter().map(|entry| ids.remove(&entry.id())).collect());
    };
    let (broker, entries) = (broker.to_owned(), Arc::clone(checked));
    let work = move |connection: &Connection| lite::insert_on(connection, &broker, entries.iter().flatten());
    file.write(Durability::Strict, work).await
}

/// Makes a queue known to the store. Idempotent.
pub async fn declare(db: &Database, queue: &QueueName) -> Result<(), StoreError> {
    if db.sql(DECLARED).bind(queue).optional::<String>().await?.is_none() {
        db.sql(DECLARE).bind(queue).run().await?;
    }
    Ok(())
}

/// Whether the store has met a queue, as far as its name alone finds that: a worker of the SQL broker has worked it once,
/// somebody has paused it, or a job waits in it. What only runs there, is for later or is finished is for the counts.
pub async fn has_met(db: &Database, queue: &QueueName) -> Result<bool, StoreError> {
    db.sql(MET).bind(queue).one().await
}

fn refusal(entry: &Result<Entry, StoreError>, error: &StoreError) -> StoreError {
    entry.as_ref().err().unwrap_or(error).clone()
}

/// Settles one job that could not simply be inserted.
async fn conflict(db: &Database, broker: &str, entry: &Entry) -> Result<Accepted, StoreError> {
    for _ in 0..TRIES {
        let tx = db.begin().await?;
        let idempotency = entry.envelope.idempotency_key.clone();
        let known = tx.sql(KNOWN).bind(entry.id()).bind(idempotency);
        if let Some((id, first)) = known.optional::<(JobId, Option<Bytes>)>().await? {
            tx.rollback().await?;
            return Ok(entry.known(id, first.as_ref()));
        }
        if let Some(holder) = unique::make_room(&tx, entry).await? {
            tx.commit().await?;
            return Ok(Accepted::Unique(holder));
        }
        let inserted = tx.sql(ENQUEUE).bind(broker).columns(columns(&[entry])).all::<JobId>().await?;
        if inserted.is_empty() {
            tx.rollback().await?;
            continue;
        }
        tx.commit().await?;
        return Ok(Accepted::New(entry.id()));
    }
    Err(StoreError::Unavailable(format!(
        "the unique key of job {} changed hands while it was looked at; enqueue it again",
        entry.id()
    )))
}
