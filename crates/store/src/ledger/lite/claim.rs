//! Taking jobs on SQLite: one UPDATE a batch. The start is noted in the job's own row only.

use backshift_core::{Bytes, Envelope, Kind, QueueName, StoreError, Timestamp, Token, WorkerName};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::read;
use crate::{
    ledger::{
        entry::unique_key,
        job_row::{ClaimedRow, headers, kind, start},
    },
    sqlite::fault,
};

macro_rules! claim {
    ($index:literal, $crashes:literal) => {
        concat!(
            "UPDATE background_jobs SET status = 'running', token = token + 1, attempts = failures + 1, \
             worker = ?3, lease_until = ?4, started_at = ?5, updated_at = ?5, cancel_requested = 0 \
             WHERE rowid IN (SELECT j.rowid FROM background_jobs j INDEXED BY ", $index,
            " WHERE j.status = 'available' AND j.broker = 'embedded' AND j.", $crashes, " AND j.queue = ?1 \
             AND (j.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM background_jobs r \
             WHERE r.superseded = 1 AND r.status = 'running' AND r.unique_key = j.unique_key)) \
             ORDER BY j.priority DESC, j.run_at, j.rowid LIMIT ?2) \
             RETURNING id, job_type, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
             unique_policy, idempotency_key, user_id, created_at, token, crashes"
        )
    };
}

/// `?1` queue, `?2` at most, `?3` worker, `?4` end of the lease, `?5` now.
pub(crate) const CLAIM: &str = claim!("background_jobs_claim", "crashes < 3");
pub(crate) const CLAIM_ALONE: &str = claim!("background_jobs_claim_alone", "crashes >= 3");
pub(crate) const PAUSED: &str = "SELECT 1 FROM job_queues WHERE name = ?1 AND paused = 1";

/// Who takes how much from where.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    pub(crate) queue: QueueName,
    pub(crate) limit: u32,
    pub(crate) worker: WorkerName,
    pub(crate) lease_us: i64,
}

/// Takes jobs, in no order.
pub(crate) fn claim_on(
    connection: &Connection,
    text: &str,
    take: &Take,
) -> Result<Vec<ClaimedRow>, StoreError> {
    let queue = take.queue.as_str();
    if connection.prepare_cached(PAUSED).and_then(|mut paused| paused.exists([queue])).map_err(fault)? {
        return Ok(Vec::new());
    }
    let mut claim = connection.prepare_cached(text).map_err(fault)?;
    let now = Timestamp::now().as_microsecond();
    let until = now.saturating_add(take.lease_us);
    let lease_until = Timestamp::from_microsecond(until).map_err(|error| read::wrong(0, error))?;
    let values = params![queue, take.limit, take.worker.as_str(), until, now];
    let mut rows = claim.query(values).map_err(fault)?;
    let mut claimed: Vec<ClaimedRow> = Vec::new();
    while let Some(row) = rows.next().map_err(fault)? {
        let before = claimed.last().map(|row| &row.envelope.kind);
        let next = claimed_row(row, &take.queue, before, lease_until)?;
        claimed.push(next);
    }
    Ok(claimed)
}

/// `before` is the kind of the row before: most batches hold one kind only.
fn claimed_row(
    row: &Row<'_>,
    queue: &QueueName,
    before: Option<&Kind>,
    until: Timestamp,
) -> Result<ClaimedRow, StoreError> {
    let own =
        |place| -> Result<Option<String>, StoreError> { Ok(read::text(row, place)?.map(str::to_owned)) };
    let uuid = |place| -> Result<Option<Uuid>, StoreError> {
        let text = read::text(row, place)?;
        text.map(Uuid::parse_str).transpose().map_err(|error| read::wrong(place, error))
    };
    let name = read::text(row, 1)?.unwrap_or_default();
    let (run_at, created_at) = (read::time(row, 7)?, read::time(row, 12)?);
    let id = uuid(0)?.ok_or_else(|| read::wrong(0, "a job without an id"))?;
    let envelope = Envelope {
        id: backshift_core::JobId(id),
        kind: before.filter(|kind| kind.as_str() == name).cloned().unwrap_or_else(|| kind(name)),
        queue: queue.clone(),
        payload: read::bytes(row, 2)?.map(Bytes::copy_from_slice).unwrap_or_default(),
        headers: headers(read::text(row, 3)?),
        attempt: read::number::<u32>(row, 4)?.saturating_add(1),
        max_attempts: read::int(row, 5)?.and_then(|most| u32::try_from(most).ok()),
        priority: read::number(row, 6)?,
        run_at: Some(run_at).filter(|at| *at > created_at),
        unique: unique_key(own(8)?, own(9)?),
        idempotency_key: own(10)?,
        user_id: uuid(11)?,
        created_at,
    };
    let start = start(&envelope, Token(read::number(row, 13)?), until, read::number(row, 14)?);
    Ok(ClaimedRow { envelope, start, run_at })
}
