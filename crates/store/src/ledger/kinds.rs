//! Which kinds there are, as far as a few rows tell: those that are next in a queue, and those of the newest jobs.
//!
//! No index leads from kind to kind, so both are answers about a bounded number of jobs and not about the table.

use backshift_core::{Kind, QueueName, StoreError};

use crate::{Database, Sql};

/// Jobs of a queue that are looked at.
const NEXT_JOBS: u32 = 50;
/// The newest jobs that are looked at.
pub const NEWEST_JOBS: u32 = 5_000;

/// `$1` the queue, `$2` jobs at most of each sort: what stands in line, what must run alone, what a foreign broker has.
pub(crate) const NEXT: Sql = Sql {
    pg: "SELECT DISTINCT j.job_type FROM (\
         (SELECT id FROM job_line WHERE ready AND NOT alone AND aside IS NULL AND queue = $1 \
         ORDER BY priority DESC, run_at, id LIMIT $2) \
         UNION ALL (SELECT id FROM job_line WHERE ready AND alone AND queue = $1 \
         ORDER BY priority DESC, run_at, id LIMIT $2) \
         UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL AND abroad = $1 AND status = 'available' \
         AND aside IS NULL ORDER BY abroad, unpublished, aside, run_at LIMIT $2)) next \
         CROSS JOIN LATERAL (SELECT job_type FROM background_jobs b WHERE b.id = next.id OFFSET 0) j",
    sqlite: "SELECT DISTINCT job_type FROM (\
             SELECT * FROM (SELECT job_type FROM background_jobs WHERE status = 'available' AND broker = 'embedded' \
             AND crashes < 3 AND aside IS NULL AND queue = $1 ORDER BY priority DESC, run_at LIMIT $2) \
             UNION ALL SELECT * FROM (SELECT job_type FROM background_jobs WHERE status = 'available' \
             AND broker = 'embedded' AND crashes >= 3 AND queue = $1 ORDER BY priority DESC, run_at LIMIT $2) \
             UNION ALL SELECT * FROM (SELECT job_type FROM background_jobs WHERE broker <> 'embedded' \
             AND status IN ('scheduled', 'available', 'retrying') AND queue = $1 AND status = 'available' \
             AND aside IS NULL LIMIT $2)) next",
};
/// `$1` jobs at most.
pub(crate) const NEWEST: &str = "SELECT DISTINCT job_type FROM (SELECT job_type FROM background_jobs \
     ORDER BY created_at DESC, id DESC LIMIT $1) newest";

pub(crate) const STATEMENTS: &[Sql] = &[NEXT, super::both::same(NEWEST)];

/// The kinds of the jobs that are next in this queue. What was put aside for its kind is listed elsewhere.
pub(crate) async fn next(db: &Database, queue: &QueueName) -> Result<Vec<Kind>, StoreError> {
    named(db.sql(NEXT).bind(queue).bind(NEXT_JOBS).all().await?)
}

/// The kinds of the newest [`NEWEST_JOBS`] jobs, whatever became of them.
pub async fn newest_kinds(db: &Database) -> Result<Vec<Kind>, StoreError> {
    named(db.sql(NEWEST).bind(NEWEST_JOBS).all().await?)
}

/// A row that somebody wrote by hand may hold any text.
fn named(kinds: Vec<String>) -> Result<Vec<Kind>, StoreError> {
    let mut kinds: Vec<Kind> = kinds.into_iter().filter_map(|kind| Kind::new(kind).ok()).collect();
    kinds.sort();
    Ok(kinds)
}
