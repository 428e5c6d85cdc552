//! The hot statements of the ledger on SQLite. Parameters are `?n` and bound by position: the closures beside this file count on it.

use backshift_core::{Kinds, QueueName, WorkerName};

use crate::ledger::large::large_abroad;

/// Nobody runs under the key that this job took over.
macro_rules! its_key_is_free {
    () => {
        "(j.unique_key IS NULL OR NOT EXISTS (SELECT 1 FROM background_jobs r \
         WHERE r.superseded = 1 AND r.status = 'running' AND r.unique_key = j.unique_key))"
    };
}

/// The first `?2` jobs of the queue `?1` along an index that it can take; `$columns` of them.
macro_rules! first {
    ($columns:literal, $index:literal, $condition:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM background_jobs j INDEXED BY ",
            $index,
            " WHERE j.status = 'available' AND j.broker = 'embedded' AND ",
            $condition,
            " AND j.queue = ?1 AND ",
            its_key_is_free!(),
            " ORDER BY j.priority DESC, j.run_at, j.rowid LIMIT ?2"
        )
    };
}

macro_rules! claim {
    ($which:expr) => {
        concat!(
            "UPDATE background_jobs SET status = 'running', token = token + 1, attempts = failures + 1, \
             worker = ?3, lease_until = ?4, started_at = ?5, updated_at = ?5, cancel_requested = 0, aside = NULL \
             WHERE rowid IN (",
            $which,
            ") RETURNING id, job_type, payload, headers, failures, max_attempts, priority, run_at, unique_key, \
             unique_policy, idempotency_key, user_id, created_at, token, crashes"
        )
    };
}

/// `?1` queue, `?2` at most, `?3` worker, `?4` end of the lease, `?5` now, `?6` an array of kinds, or nothing for any.
pub(crate) const CLAIM: &str = claim!(first!(
    "j.rowid",
    "background_jobs_claim",
    "j.crashes < 3 AND j.aside IS NULL AND (?6 IS NULL OR j.job_type IN (SELECT value FROM json_each(?6)))"
));
/// The same of the rows in the array `?6`, which were looked up in the same transaction.
pub(crate) const CLAIM_PLACES: &str = claim!("SELECT value FROM json_each(?6)");
/// The same of what must run alone, of the kinds in the array `?6`, while nothing else in the file has that seat.
pub(crate) const CLAIM_ALONE: &str = claim!(first!(
    "j.rowid",
    "background_jobs_claim_alone",
    "j.crashes >= 3 AND (?6 IS NULL OR j.job_type IN (SELECT value FROM json_each(?6))) AND NOT EXISTS \
     (SELECT 1 FROM job_alone a JOIN background_jobs o ON o.id = a.job_id WHERE o.token = a.token \
     AND o.status = 'running')"
));
/// Places of the line, `?3` an array of kinds.
pub(crate) const FIRST_IN_LINE: &str = first!(
    "j.priority, j.run_at, j.rowid",
    "background_jobs_claim",
    "j.crashes < 3 AND j.aside IS NULL AND j.job_type IN (SELECT value FROM json_each(?3))"
);
/// Places of one kind, `?3`, that was put aside.
pub(crate) const FIRST_ASIDE: &str = first!(
    "j.priority, j.run_at, j.rowid",
    "background_jobs_aside",
    "j.crashes < 3 AND j.aside IS NOT NULL AND j.aside = ?3"
);
pub(crate) const TAKE_SEAT: &str = "INSERT INTO job_alone (seat, job_id, token) SELECT 1, $1, $2 WHERE NOT EXISTS \
     (SELECT 1 FROM job_alone a JOIN background_jobs o ON o.id = a.job_id WHERE o.token = a.token \
     AND o.status = 'running') \
     ON CONFLICT (seat) DO UPDATE SET job_id = excluded.job_id, token = excluded.token RETURNING 1";
pub(crate) const PAUSED: &str = "SELECT 1 FROM job_queues WHERE name = ?1 AND paused = 1";
/// Puts what is not in the array `?3` aside, of the first `?2` of the queue `?1` that a claim could take.
pub(crate) const PUT_ASIDE: &str = concat!(
    "UPDATE background_jobs SET aside = job_type WHERE rowid IN (SELECT head.place FROM (",
    first!("j.rowid AS place, j.job_type", "background_jobs_claim", "j.crashes < 3 AND j.aside IS NULL"),
    ") head WHERE head.job_type NOT IN (SELECT value FROM json_each(?3)))"
);
/// The same for what must run alone, of the first 1,000.
pub(crate) const PUT_ALONE_ASIDE: &str = "UPDATE background_jobs SET aside = job_type WHERE rowid IN (SELECT j.rowid FROM \
     background_jobs j INDEXED BY background_jobs_claim_alone WHERE j.status = 'available' AND j.broker = 'embedded' \
     AND j.crashes >= 3 AND j.aside IS NULL AND j.queue = ?1 \
     AND j.job_type NOT IN (SELECT value FROM json_each(?2)) LIMIT 1000)";
pub(crate) const ANY_ASIDE: &str = "SELECT 1 FROM background_jobs INDEXED BY background_jobs_aside \
     WHERE aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3 AND queue = ?1 LIMIT 1";

/// Who takes how much from where.
#[derive(Debug, Clone)]
pub(crate) struct Take {
    pub(crate) queue: QueueName,
    pub(crate) limit: u32,
    pub(crate) worker: WorkerName,
    pub(crate) lease_us: i64,
    /// Only these; others that are met are put aside.
    pub(crate) kinds: Option<Kinds>,
}

/// The columns of a job as it is accepted, in the order of `?n`.
pub(crate) const INSERT: &str = "INSERT INTO background_jobs (id, user_id, job_type, status, created_at, updated_at, \
     queue, broker, payload, payload_hash, payload_size, headers, sensitive, priority, max_attempts, failures, \
     run_at, unique_key, unique_policy, idempotency_key) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
     ON CONFLICT DO NOTHING";

/// `?1` job, `?2` token, `?3` output, `?4` note, `?5` now.
pub(crate) const COMPLETE: &str = concat!(
    "UPDATE background_jobs SET status = 'completed', finished_at = ?5, \
     updated_at = ?5, error_message = NULL, error_fingerprint = NULL, output = ?3, note = ?4, \
     payload = CASE WHEN sensitive OR (",
    large_abroad!(sqlite),
    ") THEN NULL ELSE payload END \
     WHERE id = ?1 AND token = ?2 AND status = 'running'"
);
