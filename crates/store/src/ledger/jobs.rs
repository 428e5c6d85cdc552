//! Single jobs: looking at them, cancelling them, running them again.
//!
//! The last start may stand in the job's own row only, or in its claim: claiming and completing write one row each.

use backshift_core::{AttemptRecord, JobId, JobRecord, State, StoreError, Timestamp, Token};

use super::both::both;
use super::job_row::{JobRow, job_columns, state};
use super::taken::{self, state_of};
use crate::{Database, Dialect, Durability, Executor, FromRow, Row, Sql, by_index::by_index};

/// The starts that are shown of one job.
const ATTEMPTS_SHOWN: u32 = 200;

macro_rules! attempts {
    ($more:expr) => {
        concat!("SELECT a.attempt, a.token, a.worker, a.started_at, a.ended_at, a.outcome, a.error, \
     j.status, j.finished_at FROM job_attempts a LEFT JOIN background_jobs j ON j.id = a.job_id AND j.token = a.token \
     WHERE a.job_id = $1 \
     UNION ALL SELECT j.attempts, j.token, COALESCE(j.worker, '?'), j.started_at, NULL, NULL, NULL, j.status, \
     j.finished_at FROM background_jobs j WHERE j.id = $1 AND j.token > 0 AND j.started_at IS NOT NULL \
     AND NOT EXISTS (SELECT 1 FROM job_attempts a WHERE a.job_id = j.id AND a.token = j.token)", $more, " ORDER BY token LIMIT $2")
    };
}

/// The last start may be known to its claim alone.
pub(crate) const ATTEMPTS: Sql = Sql {
    pg: attempts!(
        " UNION ALL SELECT j.failures + 1, s.token, s.worker, s.started_at, NULL, NULL, NULL, 'running', NULL \
         FROM (SELECT failures, token FROM background_jobs WHERE id = $1 AND status = 'available' AND broker = 'postgres' \
         AND NOT EXISTS (SELECT 1 FROM job_line l WHERE l.id = $1) OFFSET 0) j \
         CROSS JOIN LATERAL (SELECT c.worker, c.started_at, u.token FROM job_claims c \
         CROSS JOIN LATERAL unnest(c.jobs, c.tokens) AS u(job, token) WHERE u.job = $1 AND u.token = j.token + 1 OFFSET 0) s"
    ),
    sqlite: attempts!(""),
};

/// One job.
pub(crate) const LOCK: Sql = both!("SELECT 1 FROM background_jobs WHERE id = $1" lock);

/// What waits is cancelled, what runs is asked. The caller ends both statements: one job or many, and before this one has the starts
/// of these jobs written.
pub(crate) const CANCEL: Sql = both!(
    "UPDATE background_jobs SET " stopped "\
     status = CASE WHEN status = 'running' THEN 'running' ELSE 'cancelled' END, \
     cancel_requested = (status = 'running'), aside = NULL, \
     finished_at = CASE WHEN status = 'running' THEN finished_at ELSE clock_timestamp() END, \
     payload = CASE WHEN sensitive AND status <> 'running' THEN NULL ELSE payload END, \
     updated_at = clock_timestamp() \
     WHERE " ids " AND status IN ('scheduled', 'available', 'running', 'retrying')"
);

/// Fresh attempts, and for a job of a foreign broker a fresh message by the relay: no confirm that is still on its way is
/// of that one, whatever the token was (-1).
pub(crate) const RETRY: Sql = both!(
    "UPDATE background_jobs SET status = 'available', " again "failures = 0, crashes = 0, \
     lonely_crashes = 0, reason = NULL, aside = NULL, finished_at = NULL, cancel_requested = false, superseded = false, \
     run_at = clock_timestamp(), published_at = NULL, publish_hold_until = clock_timestamp(), publish_token = -1, \
     updated_at = clock_timestamp() \
     WHERE " ids " AND status IN ('scheduled', 'retrying', 'dead', 'cancelled') \
     AND payload IS NOT NULL AND length(payload) = payload_size"
);

pub(crate) const STATE: Sql = Sql {
    pg: concat!("SELECT ", state_of!(), " FROM background_jobs WHERE id = $1"),
    sqlite: "SELECT status FROM background_jobs WHERE id = $1",
};

/// What [`RETRY`] asks of a job, in one look: its state may change between two.
pub(crate) const KEPT: Sql = Sql {
    pg: concat!(
        "SELECT ",
        state_of!(),
        ", payload IS NOT NULL AND length(payload) = payload_size FROM background_jobs WHERE id = $1"
    ),
    sqlite: "SELECT status, payload IS NOT NULL AND length(payload) = payload_size FROM background_jobs WHERE id = $1",
};

/// How often a job is asked to run again that changes each time between the wish and the look at what stood in its way.
pub(crate) const TRIES: u32 = 5;

/// Those of the jobs `$1` that are over.
pub(crate) const OVER: Sql = Sql {
    pg: "SELECT id FROM background_jobs WHERE id = ANY($1::uuid[]) AND status IN ('completed', 'dead', 'cancelled')",
    sqlite: "SELECT id FROM background_jobs WHERE id IN (SELECT value FROM json_each($1)) \
             AND status IN ('completed', 'dead', 'cancelled')",
};

pub(crate) const STATEMENTS: &[Sql] = &[ATTEMPTS, LOCK, CANCEL, RETRY, STATE, KEPT, OVER];

/// The statement that finds one job.
pub(crate) fn find_text(dialect: Dialect) -> String {
    format!("SELECT {} FROM background_jobs WHERE id = $1", job_columns(dialect))
}

/// One job, or `None`.
pub(crate) async fn find(db: &Database, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    let row = db.text(find_text(db.dialect())).bind(id).optional::<JobRow>().await?;
    let mut found: Vec<JobRecord> = row.into_iter().map(|row| row.0).collect();
    taken::told(db, &mut found).await?;
    Ok(found.pop())
}

/// The starts of one job, oldest first.
pub(crate) async fn attempts(db: &Database, id: JobId) -> Result<Vec<AttemptRecord>, StoreError> {
    let rows = db.sql(ATTEMPTS).bind(id).bind(ATTEMPTS_SHOWN).all::<AttemptRow>().await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Those of these jobs that are over.
pub(crate) async fn over(db: &Database, ids: &[JobId]) -> Result<Vec<JobId>, StoreError> {
    let query = match db {
        Database::Pg(_) => db.sql(OVER).column(ids.to_vec()),
        Database::Sqlite(_) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            db.sql(OVER).bind(serde_json::Value::from(ids).to_string())
        }
    };
    query.all().await
}

/// Cancels what waits, asks what runs; the state after the call.
pub(crate) async fn cancel(db: &Database, id: JobId) -> Result<State, StoreError> {
    let tx = by_index(db, Durability::Strict).await?;
    tx.sql(LOCK).bind(id).all::<()>().await?;
    taken::show_starts(&tx, &[id]).await?;
    let cancelled = tx.sql(CANCEL).push(" RETURNING status").column(vec![id]).optional::<String>().await?;
    tx.commit().await?;
    match cancelled {
        Some(status) => Ok(state(&status)),
        None => current(db, id).await,
    }
}

/// Runs it again; the state after the call.
pub(crate) async fn retry(db: &Database, id: JobId) -> Result<State, StoreError> {
    for _ in 0..TRIES {
        let again = db.sql(RETRY).push(" RETURNING status").column(vec![id]).optional::<String>();
        if let Some(status) = again.await.map_err(held(id))? {
            return Ok(state(&status));
        }
        if let Some(state) = not_again(db, id).await? {
            return Ok(state);
        }
    }
    Err(restless(id))
}

/// What a violated unique key means for a job that should run again.
pub(crate) fn held(id: JobId) -> impl Fn(StoreError) -> StoreError {
    move |error| match error {
        error if is_held(&error) => StoreError::Rejected(format!(
            "job {id} cannot run again: an unfinished job holds its unique key; cancel that one or wait for its end"
        )),
        other => other,
    }
}

/// A job could not take its key's seat, because another one has it. By the rule's name, which no language changes.
pub(crate) fn is_held(error: &StoreError) -> bool {
    matches!(error, StoreError::Taken { rule, .. } if rule == "background_jobs_unique" || rule == "background_jobs.unique_key")
}

/// Why a job did not begin anew: the state in which it stays, or what is missing. `None` = it ended a moment ago and can run
/// again now.
pub(crate) async fn not_again(db: &Database, id: JobId) -> Result<Option<State>, StoreError> {
    let found = db.sql(KEPT).bind(id).optional::<(String, bool)>().await?;
    let (status, kept) = found.ok_or_else(|| StoreError::NotFound(format!("job {id}")))?;
    match state(&status) {
        as_it_is @ (State::Available | State::Running | State::Completed) => Ok(Some(as_it_is)),
        _ if kept => Ok(None),
        _ => Err(StoreError::Rejected(format!(
            "the payload of job {id} was not kept (it is sensitive, large, or a mail of another program): its bytes are \
             in the broker's queue of dead letters; publish them from there as a new message"
        ))),
    }
}

/// It was never found at rest.
pub(crate) fn restless(id: JobId) -> StoreError {
    StoreError::Unavailable(format!("job {id} ends and begins all the time: try again"))
}

pub(crate) async fn current(db: &Database, id: JobId) -> Result<State, StoreError> {
    let found = db.sql(STATE).bind(id).optional::<String>().await?;
    found.map(|status| state(&status)).ok_or_else(|| StoreError::NotFound(format!("job {id}")))
}

struct AttemptRow(AttemptRecord);

impl FromRow for AttemptRow {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let job: Option<String> = row.at(7)?;
        let done = job.as_deref() == Some(State::Completed.as_str());
        let finished_at: Option<Timestamp> = row.at(8)?;
        let ended_at: Option<Timestamp> = row.at(4)?;
        let outcome: Option<String> = row.at(5)?;
        Ok(Self(AttemptRecord {
            attempt: row.at(0)?,
            token: row.at::<Token>(1)?,
            worker: row.at(2)?,
            started_at: row.at(3)?,
            ended_at: ended_at.or(finished_at.filter(|_| done)),
            outcome: outcome.or_else(|| done.then(|| State::Completed.as_str().to_owned())),
            error: row.at(6)?,
        }))
    }
}
