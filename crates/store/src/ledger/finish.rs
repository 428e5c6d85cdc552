//! Writing results, many at once; a result whose token is not the row's changes nothing.
//!
//! A completion touches one row only: its start stands in the job's own row, or is written into it here. Every other end also
//! writes the start into the attempts table, because the job's row goes on.

use std::{collections::HashMap, time::Duration};

use backshift_core::{Ack, JobId, Lease, Settled, Settlement, StoreError, Token, store::Finish};

use super::{
    both::only_sqlite,
    large::large_abroad,
    lite,
    outcome::{Outcome, completion_columns, end_columns, lease_columns},
    taken::{holds, shown},
};
use crate::{
    Database, Durability, Sql,
    sqlite::{self, Connection},
};

/// Arrays in brackets: the planner then expects few rows and goes by id, whatever the table's statistics say.
pub(crate) const COMPLETE: Sql = Sql {
    pg: concat!(
        "UPDATE background_jobs j SET status = 'completed', finished_at = clock_timestamp(), \
         updated_at = clock_timestamp(), error_message = NULL, error_fingerprint = NULL, output = f.output, \
         note = f.note, ",
        shown!(),
        ", payload = CASE WHEN j.sensitive OR (",
        large_abroad!(pg),
        ") THEN NULL ELSE j.payload END, \
         seat = NULL, leaving = NULL, abroad = NULL \
         FROM unnest((SELECT $1::uuid[]), (SELECT $2::bigint[]), (SELECT $3::uuid[]), (SELECT $4::bytea[]), (SELECT $5::text[])) \
         AS f(id, token, claim, output, note) LEFT JOIN job_claims c ON c.id = f.claim \
         WHERE j.id = f.id AND ",
        holds!("j", "f.token", " AND c.id IS NOT NULL"),
        " RETURNING j.id"
    ),
    sqlite: lite::COMPLETE,
};

pub(crate) const END: Sql = Sql {
    pg: concat!(
        "WITH f AS (SELECT f.*, c.id AS noted, c.worker, c.started_at FROM unnest((SELECT $1::uuid[]), $2::bigint[], $3::uuid[], $4::text[], \
         $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::text[]) \
         AS f(id, token, claim, status, delay, counted, class, error, fingerprint, reason) \
         LEFT JOIN job_claims c ON c.id = f.claim), \
         ended AS (UPDATE background_jobs j SET status = CASE WHEN f.status <> 'again' THEN f.status \
         WHEN j.superseded OR (j.cancel_requested AND j.status = 'running') THEN 'cancelled' WHEN f.delay = 0 THEN 'available' \
         WHEN j.failures + f.counted > 0 THEN 'retrying' ELSE 'scheduled' END, \
         failures = j.failures + f.counted, \
         run_at = CASE WHEN f.status = 'again' AND f.delay > 0 \
         THEN clock_timestamp() + f.delay * interval '1 microsecond' ELSE j.run_at END, \
         finished_at = CASE WHEN f.status <> 'again' OR j.superseded OR (j.cancel_requested AND j.status = 'running') THEN clock_timestamp() END, \
         payload = CASE WHEN (j.sensitive AND (f.status <> 'again' OR j.superseded OR (j.cancel_requested AND j.status = 'running'))) \
         OR (",
        large_abroad!(pg),
        " AND (f.status = 'cancelled' \
         OR (f.status = 'again' AND (j.superseded OR (j.cancel_requested AND j.status = 'running'))))) THEN NULL ELSE j.payload END, \
         error_message = COALESCE(f.error, j.error_message), \
         error_fingerprint = COALESCE(f.fingerprint, j.error_fingerprint), reason = f.reason, \
         seat = CASE WHEN f.status = 'again' AND NOT (j.cancel_requested AND j.status = 'running') THEN j.seat END, leaving = NULL, \
         abroad = CASE WHEN f.status = 'again' AND NOT (j.superseded OR (j.cancel_requested AND j.status = 'running')) THEN j.abroad END, \
         unpublished = CASE WHEN j.abroad IS NOT NULL AND j.published_at IS NULL AND (f.status = 'dead' \
         OR (f.status = 'again' AND NOT (j.superseded OR (j.cancel_requested AND j.status = 'running')))) THEN j.broker END, \
         kept = CASE WHEN f.status <> 'again' OR j.superseded OR (j.cancel_requested AND j.status = 'running') THEN f.status = 'dead' END, \
         updated_at = clock_timestamp(), ",
        shown!(f),
        " FROM f WHERE j.id = f.id AND ",
        holds!("j", "f.token", " AND f.noted IS NOT NULL"),
        " RETURNING j.id, j.token, j.attempts, j.worker, j.started_at, f.class, f.error), \
         noted AS (INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, ended_at, outcome, error) \
         SELECT id, token, attempts, COALESCE(worker, '?'), COALESCE(started_at, clock_timestamp()), \
         clock_timestamp(), class, error FROM ended ON CONFLICT (job_id, token) DO UPDATE SET \
         ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error) \
         SELECT id FROM ended"
    ),
    sqlite: concat!(
        "UPDATE background_jobs SET status = CASE WHEN $3 <> 'again' THEN $3 \
             WHEN superseded OR cancel_requested THEN 'cancelled' WHEN $4 = 0 THEN 'available' \
             WHEN failures + $5 > 0 THEN 'retrying' ELSE 'scheduled' END, \
             failures = failures + $5, \
             run_at = CASE WHEN $3 = 'again' AND $4 > 0 THEN clock_timestamp() + $4 ELSE run_at END, \
             finished_at = CASE WHEN $3 <> 'again' OR superseded OR cancel_requested THEN clock_timestamp() END, \
             payload = CASE WHEN (sensitive AND ($3 <> 'again' OR superseded OR cancel_requested)) \
             OR (",
        large_abroad!(sqlite),
        " AND ($3 = 'cancelled' \
             OR ($3 = 'again' AND (superseded OR cancel_requested)))) THEN NULL ELSE payload END, \
             error_message = COALESCE($7, error_message), \
             error_fingerprint = COALESCE($8, error_fingerprint), reason = $9, \
             updated_at = clock_timestamp() WHERE id = $1 AND token = $2 AND status = 'running'"
    ),
};

/// `$1` job, `$2` token, `$6` how it ended, `$7` error: the numbers of `END`. The start's row is made here, unless
/// it was made before.
pub(crate) const END_ATTEMPT: &str = "INSERT INTO job_attempts (job_id, token, attempt, worker, started_at, \
     ended_at, outcome, error) SELECT id, token, attempts, COALESCE(worker, '?'), \
     COALESCE(started_at, clock_timestamp()), clock_timestamp(), $6, $7 FROM background_jobs \
     WHERE id = $1 AND token = $2 ON CONFLICT (job_id, token) DO UPDATE SET \
     ended_at = excluded.ended_at, outcome = excluded.outcome, error = excluded.error";

/// What is known about starts: the job's state while this start is its last, and how the start ended.
pub(crate) const LOOK: Sql = Sql {
    pg: concat!(
        "SELECT f.id, f.token, CASE WHEN j.token = f.token THEN j.status ELSE 'running' END, a.outcome \
         FROM unnest($1::uuid[], $2::bigint[]) AS f(id, token) \
         JOIN background_jobs j ON j.id = f.id AND (j.token = f.token OR ",
        holds!("j", "f.token"),
        ") LEFT JOIN job_attempts a ON a.job_id = f.id AND a.token = f.token"
    ),
    sqlite: "SELECT j.id, j.token, j.status, a.outcome FROM background_jobs j \
             LEFT JOIN job_attempts a ON a.job_id = j.id AND a.token = j.token WHERE j.id = $1 AND j.token = $2",
};

pub(crate) const STATEMENTS: &[Sql] = &[COMPLETE, END, only_sqlite(END_ATTEMPT), LOOK];

/// Writes many results; one answer each, in order. Completions and retries of which nobody asked that they be
/// durable are answered before they are on disk: after a crash of the database's machine they run again.
pub async fn finish(db: &Database, batch: Vec<Finish>) -> Result<Vec<Settled>, StoreError> {
    let mut answers = vec![Settled::Stale; batch.len()];
    let (mut completions, mut ends, mut said) = (Vec::new(), Vec::new(), Vec::new());
    for (place, finish) in batch.into_iter().enumerate() {
        let into = match &finish.settlement {
            Settlement::Ack(Ack::Completed(completion)) if completion.in_transaction => &mut said,
            Settlement::Ack(Ack::Completed(_)) => &mut completions,
            _ => &mut ends,
        };
        into.push((place, Outcome::new(finish)));
    }
    let running = confirm(db, said, &mut answers).await?;
    let uncommitted: Vec<usize> = running.iter().map(|(place, _)| *place).collect();
    ends.extend(running.into_iter().map(|(place, outcome)| (place, Outcome::uncommitted(outcome.lease))));
    write(db, COMPLETE, completions, &mut answers).await?;
    write(db, END, ends, &mut answers).await?;
    // The completion did not take place: a foreign broker must not be told that it did, but deliver again.
    uncommitted.into_iter().for_each(|place| set(&mut answers, place, Settled::Stale));
    Ok(answers)
}

/// How soon the first of these jobs runs again that does not at once.
pub fn soonest(batch: &[Finish]) -> Option<Duration> {
    let delay = |finish: &Finish| match &finish.settlement {
        Settlement::Retry(retry) => Some(retry.delay).filter(|delay| !delay.is_zero()),
        _ => None,
    };
    batch.iter().filter_map(delay).min()
}

/// Looks whether handlers' own transactions completed their jobs; returns those that still run.
async fn confirm(
    db: &Database,
    said: Vec<(usize, Outcome)>,
    answers: &mut [Settled],
) -> Result<Vec<(usize, Outcome)>, StoreError> {
    let seen = look(db, said.iter().map(|(_, outcome)| outcome.lease).collect()).await?;
    let mut running = Vec::new();
    for (place, outcome) in said {
        match seen.get(&(outcome.lease.job, outcome.lease.token)).map(|(status, _)| status.as_str()) {
            Some("completed") => set(answers, place, Settled::Applied),
            Some("running") => running.push((place, outcome)),
            _ => {}
        }
    }
    Ok(running)
}

/// Writes outcomes of one sort, in the order of ids so that two batches cannot wait for each other.
async fn write(
    db: &Database,
    statement: Sql,
    mut batch: Vec<(usize, Outcome)>,
    answers: &mut [Settled],
) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    batch.sort_by_key(|(_, outcome)| outcome.lease.job);
    let (places, outcomes): (Vec<usize>, Vec<Outcome>) = batch.into_iter().unzip();
    let strict = outcomes.iter().any(|outcome| outcome.strict);
    let durability = if strict { Durability::Strict } else { Durability::Relaxed };
    let written = match db {
        Database::Pg(_) => {
            let completes = statement == COMPLETE;
            let columns = if completes { completion_columns(&outcomes) } else { end_columns(&outcomes) };
            db.sql(statement).durability(durability).by_index().columns(columns).all::<JobId>().await?
        }
        Database::Sqlite(file) => {
            let outcomes = outcomes.clone();
            file.write(durability, move |connection| write_on(connection, statement, &outcomes)).await?
        }
    };
    let mut missing = Vec::new();
    // The same job may be in a batch twice; only its first result is the one that was written.
    let mut written: std::collections::HashSet<JobId> = written.into_iter().collect();
    for (place, outcome) in places.into_iter().zip(outcomes) {
        match written.remove(&outcome.lease.job) {
            true => set(answers, place, Settled::Applied),
            false => missing.push((place, outcome)),
        }
    }
    settle_missing(db, missing, answers).await
}

/// A result that was written before (its answer was lost) is applied; every other one came too late.
async fn settle_missing(
    db: &Database,
    missing: Vec<(usize, Outcome)>,
    answers: &mut [Settled],
) -> Result<(), StoreError> {
    let seen = look(db, missing.iter().map(|(_, outcome)| outcome.lease).collect()).await?;
    for (place, outcome) in missing {
        let known = seen.get(&(outcome.lease.job, outcome.lease.token));
        let applied = known.is_some_and(|(status, ended)| match outcome.status {
            "completed" => status == "completed",
            _ => ended.as_deref() == Some(outcome.class),
        });
        if applied {
            set(answers, place, Settled::Applied);
        }
    }
    Ok(())
}

type Seen = HashMap<(JobId, Token), (String, Option<String>)>;

async fn look(db: &Database, leases: Vec<Lease>) -> Result<Seen, StoreError> {
    if leases.is_empty() {
        return Ok(Seen::new());
    }
    let rows: Vec<(JobId, Token, String, Option<String>)> = match db {
        Database::Pg(_) => db.sql(LOOK).by_index().columns(lease_columns(&leases)).all().await?,
        Database::Sqlite(lite) => {
            let work = move |connection: &Connection| {
                let mut rows = Vec::new();
                for lease in &leases {
                    rows.extend(sqlite::query(
                        connection,
                        LOOK.sqlite,
                        &[lease.job.into(), lease.token.into()],
                    )?);
                }
                Ok(rows)
            };
            lite.read(work).await?
        }
    };
    Ok(rows.into_iter().map(|(id, token, status, ended)| ((id, token), (status, ended))).collect())
}

/// On the writer thread; returns the jobs whose result was written.
fn write_on(connection: &Connection, statement: Sql, outcomes: &[Outcome]) -> Result<Vec<JobId>, StoreError> {
    if statement == COMPLETE {
        return lite::complete_on(connection, outcomes);
    }
    let mut written = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let values = outcome.values();
        if sqlite::run(connection, statement.sqlite, &values)? == 1 {
            sqlite::run(connection, END_ATTEMPT, &values)?;
            written.push(outcome.lease.job);
        }
    }
    Ok(written)
}

fn set(answers: &mut [Settled], place: usize, settled: Settled) {
    if let Some(answer) = answers.get_mut(place) {
        *answer = settled;
    }
}
