//! Jobs of a foreign broker that wait for a message which does not come: a consumer that is not ours has taken it.
//!
//! The row alone cannot know that. Whoever asks has looked into the broker, found nothing there, and ends the row: what the
//! job asks for may have been done, so it is ambiguous, and only a person lets it run again. What is parked for its kind waits
//! here and not at the broker, for however long.

use std::time::Duration;

use backshift_core::{JobId, QueueName, StoreError, store::Forsaken};

use super::entry::micros;
use crate::{Column, Database, Sql};

/// More rows of one queue are not looked at in one go. What is looked at and not listed has an old time and a fresh sign: it
/// runs, or waits since it came back. Later ones are hidden behind so many of these only until those are listed themselves.
const LOOKED_AT: u32 = 20_000;
const AT_MOST: u32 = 1_000;

macro_rules! forsake {
    ($marks:literal, $waited:literal, $after:literal, $which:literal) => {
        concat!(
            "UPDATE background_jobs SET ",
            $marks,
            "error_message = CASE WHEN status = 'running' THEN 'worker ' || COALESCE(worker, '?') || ' is gone' \
             ELSE 'its time has come' END || ', and the broker has nothing of it any more: another consumer of queue ' \
             || queue || ' may have done it', \
             status = CASE WHEN superseded OR cancel_requested THEN 'cancelled' ELSE 'dead' END, \
             reason = CASE WHEN superseded OR cancel_requested THEN NULL ELSE 'ambiguous' END, \
             effect = CASE WHEN effect = 'done' THEN 'done' ELSE 'ambiguous' END, \
             finished_at = clock_timestamp(), updated_at = clock_timestamp(), \
             payload = CASE WHEN sensitive THEN NULL ELSE payload END WHERE ",
            $which,
            " AND aside IS NULL AND status IN ('scheduled', 'available', 'running', 'retrying') \
             AND CASE WHEN status = 'running' THEN lease_until ELSE ",
            $waited,
            " END < clock_timestamp() - ",
            $after,
            " RETURNING id"
        )
    };
}

macro_rules! note {
    ($which:literal, $after:literal) => {
        concat!(
            "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, error) \
             SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), \
             clock_timestamp(), 'crash', 'the worker is gone, and so is the message' FROM background_jobs WHERE ",
            $which,
            " AND status = 'running' AND lease_until < clock_timestamp() - ",
            $after,
            " ON CONFLICT (job_id, token) DO NOTHING"
        )
    };
}

/// `$1` queue, `$2` broker, `$3` for how long, `$4` looked at, `$5` at most. Since when nothing happened: the end of the
/// lease of a job that runs, the time of one that waits. That one gets six times as long: another worker of ours may hold
/// its message and not begin it, because a job there has to run alone.
///
/// No lease ends before the job's time. So PostgreSQL walks the index by time and only as far as a job can be forsaken; an
/// index of signs would be written with every heartbeat.
pub(crate) const FORSAKEN: Sql = Sql {
    pg: "SELECT id, begun FROM (SELECT id, broker, published_at, status = 'running' AS begun, \
         CASE WHEN status = 'running' THEN lease_until ELSE GREATEST(run_at, updated_at) \
         + 5 * $3 * interval '1 microsecond' END AS since \
         FROM background_jobs WHERE abroad IS NOT NULL AND abroad = $1 AND unpublished IS NULL AND aside IS NULL \
         AND run_at < (SELECT clock_timestamp()) - $3 * interval '1 microsecond' LIMIT $4) j \
         WHERE broker = $2 AND published_at IS NOT NULL \
         AND since < (SELECT clock_timestamp()) - $3 * interval '1 microsecond' LIMIT $5",
    sqlite: "SELECT id, begun FROM (SELECT * FROM (SELECT id, broker, 1 AS begun, lease_until AS since FROM background_jobs \
             WHERE status = 'running' AND broker <> 'embedded' AND queue = $1 AND published_at IS NOT NULL LIMIT $4) \
             UNION ALL SELECT * FROM (SELECT id, broker, 0 AS begun, MAX(run_at, updated_at) + 5 * $3 AS since \
             FROM background_jobs INDEXED BY background_jobs_away WHERE broker <> 'embedded' \
             AND published_at IS NOT NULL AND aside IS NULL AND status IN ('scheduled', 'available', 'retrying') \
             AND queue = $1 AND MAX(run_at, updated_at) < (SELECT clock_timestamp()) - 6 * $3 LIMIT $4)) \
             WHERE broker = $2 AND since < (SELECT clock_timestamp()) - $3 LIMIT $5",
};

/// `$1` for how long; then jobs.
pub(crate) const FORSAKE: Sql = Sql {
    pg: forsake!(
        "seat = NULL, leaving = NULL, kept = true, abroad = NULL, unpublished = NULL, ",
        "GREATEST(run_at, updated_at) + 5 * $1 * interval '1 microsecond'",
        "$1 * interval '1 microsecond'",
        "id = ANY($2::uuid[])"
    ),
    sqlite: forsake!("", "MAX(run_at, updated_at) + 5 * $1", "$1", "id = $2"),
};

/// Before the job ends, while its start stands in its own row.
pub(crate) const NOTE: Sql = Sql {
    pg: note!("id = ANY($2::uuid[])", "$1 * interval '1 microsecond'"),
    sqlite: note!("id = $2", "$1"),
};

/// An effect that was begun and of which nobody knows the end.
pub(crate) const EFFECTS: Sql = Sql {
    pg: "UPDATE job_effects SET state = 'ambiguous' WHERE job_id = ANY($1::uuid[]) AND state = 'intended'",
    sqlite: "UPDATE job_effects SET state = 'ambiguous' WHERE job_id = $1 AND state = 'intended'",
};

pub(crate) const STATEMENTS: &[Sql] = &[FORSAKEN, FORSAKE, NOTE, EFFECTS];

/// The jobs of this queue of which nobody has given a sign for so long.
pub(crate) async fn forsaken(
    db: &Database,
    broker: &str,
    queue: &QueueName,
    after: Duration,
) -> Result<Vec<Forsaken>, StoreError> {
    let query = db.sql(FORSAKEN).bind(queue).bind(broker).bind(micros(after));
    let rows = query.bind(LOOKED_AT).bind(AT_MOST).all::<(JobId, bool)>().await?;
    Ok(rows.into_iter().map(|(id, begun)| Forsaken { id, begun }).collect())
}

/// Ends those that are still forsaken.
pub(crate) async fn forsake(db: &Database, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError> {
    if jobs.is_empty() {
        return Ok(0);
    }
    let tx = db.begin().await?;
    tx.sql(NOTE).bind(micros(after)).column(Column::from(jobs.clone())).run().await?;
    let ended: Vec<JobId> = tx.sql(FORSAKE).bind(micros(after)).column(Column::from(jobs)).all().await?;
    if !ended.is_empty() {
        tx.sql(EFFECTS).column(Column::from(ended.clone())).run().await?;
    }
    tx.commit().await?;
    Ok(ended.len() as u64)
}
