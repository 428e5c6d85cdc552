//! Which kinds there are, as far as a few rows tell: those that are next in a queue, and those of the newest jobs.
//!
//! No index leads from kind to kind, so both are answers about a bounded number of jobs and not about the table.

use std::collections::BTreeMap;

use backshift_core::{Kind, QueueName, StoreError};

use crate::{Database, Dialect, Executor, Sql};

/// Jobs of a queue that are looked at.
const NEXT_JOBS: u32 = 50;
/// The newest jobs that are looked at.
pub const NEWEST_JOBS: u32 = 5_000;

/// `$1` the queue, on PostgreSQL many of them as JSON, `$2` jobs at most of each sort: what stands in line, what must run alone, what
/// a foreign broker has.
pub(crate) const NEXT: Sql = Sql {
    pg: "SELECT DISTINCT q.name, j.job_type FROM json_array_elements_text($1::text::json) AS q(name) CROSS JOIN LATERAL (\
         (SELECT id FROM job_line WHERE ready AND NOT alone AND aside IS NULL AND queue = q.name \
         ORDER BY priority DESC, run_at, id LIMIT $2) \
         UNION ALL (SELECT id FROM job_line WHERE ready AND alone AND queue = q.name \
         ORDER BY priority DESC, run_at, id LIMIT $2) \
         UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL AND abroad = q.name AND status = 'available' \
         AND aside IS NULL ORDER BY abroad, unpublished, aside, run_at LIMIT $2)) next \
         CROSS JOIN LATERAL (SELECT job_type FROM background_jobs b WHERE b.id = next.id OFFSET 0) j",
    sqlite: "SELECT DISTINCT $1, job_type FROM (\
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

/// The kinds of the jobs that are next in these queues. What was put aside for its kind is listed elsewhere.
pub(crate) async fn next(
    db: &Database,
    queues: &[QueueName],
) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
    let mut found: Vec<(String, String)> = Vec::new();
    match db.dialect() {
        _ if queues.is_empty() => {}
        Dialect::Postgres => {
            let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
            let names = serde_json::json!(names).to_string();
            found = db.sql(NEXT).bind(names).bind(NEXT_JOBS).all().await?;
        }
        Dialect::Sqlite => {
            for queue in queues {
                let some = db.sql(NEXT).bind(queue).bind(NEXT_JOBS).all::<(String, String)>().await?;
                found.extend(some);
            }
        }
    }
    let mut kinds: BTreeMap<QueueName, Vec<String>> = BTreeMap::new();
    for (queue, kind) in found {
        let Ok(queue) = QueueName::new(queue) else { continue };
        kinds.entry(queue).or_default().push(kind);
    }
    kinds.into_iter().map(|(queue, kinds)| Ok((queue, named(kinds)?))).collect()
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
