//! How many jobs wait in one queue: counted exactly up to a bound, beyond it estimated by the bound itself.
//!
//! Never a count of the whole table: a backlog of millions must not make the question slow.

use backshift_core::{QueueName, StoreError};

use crate::{Database, Sql};

/// A job that must run alone waits for the fleet's one seat: while somebody has it, no worker that gets nothing is stuck.
macro_rules! seat_is_free {
    () => {
        " AND NOT EXISTS (SELECT 1 FROM job_alone a JOIN background_jobs r ON r.id = a.job_id \
         WHERE r.token = a.token AND r.status = 'running')"
    };
}

/// Counting stops here; a queue is then at least this deep.
pub const COUNTED_AT_MOST: u32 = 100_000;

pub(crate) const DEPTH: Sql = Sql {
    pg: "SELECT COUNT(*) FROM (SELECT 1 FROM job_line WHERE ready AND NOT alone AND aside IS NULL \
         AND queue = $1 LIMIT $2) some_jobs",
    sqlite: "SELECT COUNT(*) FROM (SELECT 1 FROM background_jobs WHERE status = 'available' \
             AND broker = 'embedded' AND crashes < 3 AND aside IS NULL AND queue = $1 LIMIT $2) some_jobs",
};
pub(crate) const DEPTH_ALONE: Sql = Sql {
    pg: concat!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM job_line WHERE ready AND alone AND aside IS NULL AND queue = $1",
        seat_is_free!(),
        " LIMIT $2) some_jobs"
    ),
    sqlite: concat!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM background_jobs WHERE status = 'available' \
         AND broker = 'embedded' AND crashes >= 3 AND aside IS NULL AND queue = $1",
        seat_is_free!(),
        " LIMIT $2) some_jobs"
    ),
};

pub(crate) const STATEMENTS: &[Sql] = &[DEPTH, DEPTH_ALONE];

/// How many jobs of the SQL broker may run now in this queue, counted up to [`COUNTED_AT_MOST`]. What was put aside
/// because nobody knew its kind does not count.
pub async fn depth(db: &Database, queue: &QueueName) -> Result<u64, StoreError> {
    let mut waiting = 0;
    for statement in [DEPTH, DEPTH_ALONE] {
        waiting += db.sql(statement).bind(queue).bind(COUNTED_AT_MOST).one::<u64>().await?;
    }
    Ok(waiting)
}
