//! Who did what: to one job, and all of it. A sweep is told once there, with its number of jobs.

use backshift_core::{
    JobId, StoreError, Timestamp,
    sweep::{Hand, HandRecord, Upon},
};
use uuid::Uuid;

use crate::{
    Database, FromRow, Row, Sql,
    ledger::{both::same, job_row::queue},
};

/// The deeds that are shown of one job.
const SHOWN: u32 = 200;
/// The longest page.
const LONGEST_PAGE: u32 = 500;

pub(crate) const OF_JOB: &str = "SELECT at, deed, who, why, sweep, job_id, queue FROM job_deeds WHERE job_id = $1 \
     ORDER BY at DESC LIMIT $2";
/// The last deed to each of a column of jobs.
pub(crate) const LAST: Sql = Sql {
    pg: "SELECT d.at, d.deed, d.who, d.why, d.sweep, d.job_id, d.queue FROM unnest($1::uuid[]) AS j(id) CROSS JOIN LATERAL \
         (SELECT * FROM job_deeds WHERE job_id = j.id ORDER BY at DESC LIMIT 1) d",
    sqlite: "SELECT at, deed, who, why, sweep, job_id, queue FROM job_deeds WHERE job_id = $1 ORDER BY at DESC LIMIT 1",
};
/// `$1` before this time, `$2` at most.
pub(crate) const SINGLE: &str = "SELECT at, deed, who, why, sweep, job_id, queue FROM job_deeds \
     WHERE sweep IS NULL AND at < $1 ORDER BY at DESC LIMIT $2";
pub(crate) const MANY: &str = "SELECT begun_at, deed, who, why, id, words, changed, done FROM job_sweeps \
     WHERE begun_at < $1 ORDER BY begun_at DESC LIMIT $2";

pub(crate) const STATEMENTS: &[Sql] = &[same(OF_JOB), LAST, same(SINGLE), same(MANY)];

/// What was done to this job, the newest of it, oldest first.
pub(super) async fn of_job(db: &Database, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
    let rows = db.sql(OF_JOB).bind(job).bind(SHOWN).all::<Single>().await?;
    Ok(rows.into_iter().rev().map(|row| row.0).collect())
}

/// The last deed to each of these jobs.
pub(super) async fn last(db: &Database, jobs: &[JobId]) -> Result<Vec<HandRecord>, StoreError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db.sql(LAST).column(jobs.to_vec()).all::<Single>().await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// Everything before this time, newest first.
pub(super) async fn all(db: &Database, before: Timestamp, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
    let limit = limit.clamp(1, LONGEST_PAGE);
    let single = db.sql(SINGLE).bind(before).bind(limit).all::<Single>().await?;
    let many = db.sql(MANY).bind(before).bind(limit).all::<Many>().await?;
    let single = single.into_iter().map(|row| row.0);
    let mut all: Vec<HandRecord> = single.chain(many.into_iter().map(|row| row.0)).collect();
    all.sort_by_key(|hand| std::cmp::Reverse(hand.at));
    all.truncate(limit as usize);
    Ok(all)
}

fn hand(row: &Row) -> Result<Hand, StoreError> {
    Ok(Hand { who: row.at(2)?, why: row.at(3)? })
}

struct Single(HandRecord);

impl FromRow for Single {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let upon = match row.at::<Option<JobId>>(5)? {
            Some(job) => Upon::Job(job),
            // Whatever somebody wrote there by hand: one row fails no list of the others.
            None => Upon::Queue(queue(&row.at::<Option<String>>(6)?.unwrap_or_default())),
        };
        Ok(Self(HandRecord { at: row.at(0)?, deed: row.at(1)?, upon, hand: hand(row)?, sweep: row.at(4)? }))
    }
}

struct Many(HandRecord);

impl FromRow for Many {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let upon =
            Upon::Many { words: row.at(5)?, changed: row.at::<i64>(6)?.unsigned_abs(), done: row.at(7)? };
        let sweep = Some(row.at::<Uuid>(4)?);
        Ok(Self(HandRecord { at: row.at(0)?, deed: row.at(1)?, upon, hand: hand(row)?, sweep }))
    }
}
