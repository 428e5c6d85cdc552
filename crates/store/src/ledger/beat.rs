//! Signs of life: many leases are extended by one statement, and wishes to cancel come back with the answer.

use std::collections::HashMap;

use backshift_core::{
    JobId, Lease, StoreError, Timestamp, Token, WorkerName,
    store::{Beat, Holder, Pulse},
};

use super::both::only_sqlite;
use super::entry::lease_us;
use super::taken::{holds, shown};
use crate::{
    Column, Database, Durability, Sql, Value,
    sqlite::{self, Connection},
};

/// `$1` worker, `$2` lease, `$3` jobs, `$4` tokens, `$5` per cent, `$6` words, `$7` claims. The first one says that the job runs:
/// its claim left the row as it was.
pub(crate) const BEAT: Sql = Sql {
    pg: concat!(
        "WITH seen AS (UPDATE job_workers SET seen_at = clock_timestamp() WHERE name = $1), \
         beaten AS (UPDATE background_jobs j SET status = 'running', ",
        shown!(),
        ", cancel_requested = (j.cancel_requested AND j.status = 'running'), updated_at = CASE WHEN j.status = 'running' \
         THEN j.updated_at ELSE clock_timestamp() END, lease_until = clock_timestamp() + $2 * interval '1 microsecond', \
         progress_percent = COALESCE(f.percent, j.progress_percent), \
         progress_word = CASE WHEN f.percent IS NULL THEN j.progress_word ELSE f.word END \
         FROM unnest((SELECT $3::uuid[]), $4::bigint[], $5::bigint[], $6::text[], $7::uuid[]) \
         AS f(id, token, percent, word, claim) LEFT JOIN job_claims c ON c.id = f.claim WHERE j.id = f.id AND ",
        holds!("j", "f.token", " AND c.id IS NOT NULL"),
        " RETURNING j.id, j.token, j.lease_until, j.cancel_requested) \
         SELECT id, token, lease_until, cancel_requested FROM beaten"
    ),
    sqlite: "UPDATE background_jobs SET lease_until = clock_timestamp() + $2, \
             progress_percent = COALESCE($5, progress_percent), \
             progress_word = CASE WHEN $5 IS NULL THEN progress_word ELSE $6 END \
             WHERE id = $3 AND token = $4 AND status = 'running' \
             RETURNING id, token, lease_until, cancel_requested",
};

/// The worker's own sign: `$1` worker.
pub(crate) const SEEN: &str = "UPDATE job_workers SET seen_at = clock_timestamp() WHERE name = $1";

/// Wishes to cancel what runs here: by the worker where that is an index (`$1`), else by the jobs (`$2`).
pub(crate) const UNWANTED: Sql = Sql {
    pg: "SELECT id, token FROM background_jobs WHERE id = ANY($2::uuid[]) AND cancel_requested \
         AND status = 'running' AND worker = $1",
    sqlite: "SELECT id, token FROM background_jobs WHERE status = 'running' AND worker = $1 AND cancel_requested = 1",
};

pub(crate) const STATEMENTS: &[Sql] = &[BEAT, UNWANTED, only_sqlite(SEEN)];

type Beaten = (JobId, Token, Timestamp, bool);

/// One answer each, in order.
pub(crate) async fn beat(
    db: &Database,
    holder: &Holder,
    mut beats: Vec<Beat>,
) -> Result<Vec<Pulse>, StoreError> {
    let asked: Vec<(JobId, Token)> = beats.iter().map(|beat| (beat.lease.job, beat.lease.token)).collect();
    beats.sort_by_key(|beat| beat.lease.job);
    let columns = columns(&beats);
    let values: Vec<Value> = vec![(&holder.worker).into(), lease_us(holder).into()];
    let beaten: Vec<Beaten> = match db {
        Database::Pg(_) => {
            let query = db.sql(BEAT).relaxed().columns(columns);
            values.into_iter().fold(query, |query, value| query.bind(value)).all().await?
        }
        Database::Sqlite(lite) => {
            lite.write(Durability::Relaxed, move |on: &Connection| beat_on(on, &values, &columns)).await?
        }
    };
    let pulses: HashMap<(JobId, Token), Pulse> = beaten
        .into_iter()
        .map(|(id, token, until, cancel)| {
            ((id, token), if cancel { Pulse::CancelRequested } else { Pulse::Until(until) })
        })
        .collect();
    Ok(asked.iter().map(|lease| pulses.get(lease).copied().unwrap_or(Pulse::Lost)).collect())
}

/// Those of the leases whose job somebody asked to cancel.
pub(crate) async fn unwanted(
    db: &Database,
    worker: &WorkerName,
    leases: &[Lease],
) -> Result<Vec<Lease>, StoreError> {
    let query = db.sql(UNWANTED).bind(worker);
    let query = match db {
        Database::Pg(_) => query.column(leases.iter().map(|lease| lease.job).collect::<Vec<_>>()),
        Database::Sqlite(_) => query,
    };
    let found: Vec<(JobId, Token)> = query.all().await?;
    Ok(leases.iter().filter(|lease| found.contains(&(lease.job, lease.token))).copied().collect())
}

fn columns(beats: &[Beat]) -> Vec<Column> {
    let percent = |beat: &Beat| beat.progress.as_ref().map(|(percent, _)| i64::from((*percent).min(100)));
    let word = |beat: &Beat| beat.progress.as_ref().map(|(_, word)| word.replace('\0', "\u{FFFD}"));
    vec![
        Column::Uuids(beats.iter().map(|beat| Some(beat.lease.job.0)).collect()),
        Column::Ints(beats.iter().map(|beat| Some(beat.lease.token.0)).collect()),
        Column::Ints(beats.iter().map(percent).collect()),
        Column::Texts(beats.iter().map(word).collect()),
        Column::Uuids(beats.iter().map(|beat| beat.lease.claim).collect()),
    ]
}

/// On the writer thread.
fn beat_on(connection: &Connection, holder: &[Value], columns: &[Column]) -> Result<Vec<Beaten>, StoreError> {
    sqlite::run(connection, SEEN, holder)?;
    let rows = columns.first().map_or(0, Column::len);
    let mut beaten = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut values = holder.to_vec();
        values.extend(columns.iter().map(|column| column.row(row)));
        beaten.extend(sqlite::query::<Beaten>(connection, BEAT.sqlite, &values)?);
    }
    Ok(beaten)
}
