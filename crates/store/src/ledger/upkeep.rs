//! What keeps the table in order: due jobs become available, old finished rows go.
//!
//! Dead jobs have a time of their own, a longer one: a person decides about them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backshift_core::{
    JobId, QueueName, StoreError, Timestamp,
    store::{Due, KEPT_AT_LEAST},
};

use super::{
    both::{both, only_sqlite},
    entry::{between, micros},
    taken::holds,
};
use crate::{
    Column, Database, Durability, Sql,
    sqlite::{self, Connection},
};

/// `$1`: at most this many.
pub(crate) const PROMOTE: Sql = Sql {
    pg: "WITH due AS MATERIALIZED (SELECT p AS id FROM backshift_due($1::int) p), \
         moved AS (UPDATE background_jobs j SET status = 'available', updated_at = clock_timestamp() FROM due \
         WHERE j.id = due.id AND j.status IN ('scheduled', 'retrying') RETURNING j.queue) \
         SELECT queue, COUNT(*) FROM moved GROUP BY queue",
    sqlite: "UPDATE background_jobs SET status = 'available', updated_at = clock_timestamp() WHERE rowid IN \
             (SELECT rowid FROM background_jobs INDEXED BY background_jobs_due \
             WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded' AND run_at <= $2 \
             ORDER BY run_at LIMIT $1) RETURNING queue",
};

/// The first time that is waited for, if any, and what the database's clock says.
pub(crate) const NEXT_DUE: Sql = Sql {
    pg: "SELECT (SELECT run_at FROM job_line WHERE NOT ready ORDER BY run_at LIMIT 1), clock_timestamp()",
    sqlite: "SELECT (SELECT run_at FROM background_jobs WHERE status IN ('scheduled', 'retrying') \
             AND broker = 'embedded' ORDER BY run_at LIMIT 1), clock_timestamp()",
};

/// `$1` age in microseconds, `$2` at most, `$3` begin of the walk. Walks the list's index from its old end.
pub(crate) const OLD: Sql = both!(
    "SELECT id, created_at FROM background_jobs WHERE created_at >= $3 \
     AND created_at < (SELECT clock_timestamp()) - $1" us
    " AND status IN ('completed', 'cancelled') AND finished_at < (SELECT clock_timestamp()) - $1" us
    " ORDER BY created_at LIMIT $2"
);

pub(crate) const DELETE: Sql = Sql {
    pg: "WITH gone AS (DELETE FROM background_jobs WHERE id = ANY($1::uuid[]) \
         AND status IN ('completed', 'cancelled') RETURNING id), \
         starts AS (DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM gone)), \
         effects AS (DELETE FROM job_effects WHERE job_id IN (SELECT id FROM gone)) SELECT COUNT(*) FROM gone",
    sqlite: "DELETE FROM background_jobs WHERE id = $1 AND status IN ('completed', 'cancelled')",
};
pub(crate) const DELETE_STARTS_LITE: &str = "DELETE FROM job_attempts WHERE job_id = $1";
pub(crate) const DELETE_EFFECTS_LITE: &str = "DELETE FROM job_effects WHERE job_id = $1";

/// `$1` age in microseconds, `$2` at most. Dead jobs stand in the small index of what is kept.
pub(crate) const OLD_DEAD: Sql = Sql {
    pg: "SELECT id FROM background_jobs WHERE kept IS NOT NULL AND status = 'dead' \
         AND created_at < (SELECT clock_timestamp()) - $1 * interval '1 microsecond' \
         AND finished_at < (SELECT clock_timestamp()) - $1 * interval '1 microsecond' ORDER BY created_at LIMIT $2",
    sqlite: "SELECT id FROM background_jobs INDEXED BY background_jobs_kept \
             WHERE status IN ('dead', 'cancelled') AND status = 'dead' \
             AND created_at < (SELECT clock_timestamp()) - $1 AND finished_at < (SELECT clock_timestamp()) - $1 \
             ORDER BY created_at LIMIT $2",
};

pub(crate) const DELETE_DEAD: Sql = Sql {
    pg: "WITH gone AS (DELETE FROM background_jobs WHERE id = ANY($1::uuid[]) AND status = 'dead' RETURNING id), \
         starts AS (DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM gone)), \
         effects AS (DELETE FROM job_effects WHERE job_id IN (SELECT id FROM gone)) SELECT COUNT(*) FROM gone",
    sqlite: "DELETE FROM background_jobs WHERE id = $1 AND status = 'dead'",
};

/// What no job needs any more: places of jobs that do not run, allowances that are full again, workers of yesterday.
pub(crate) const SLOTS: Sql = Sql {
    pg: concat!(
        "DELETE FROM job_slots WHERE NOT EXISTS (SELECT 1 FROM background_jobs j WHERE j.id = job_slots.job_id AND ",
        holds!("j", "job_slots.token"),
        ")"
    ),
    sqlite: "DELETE FROM job_slots WHERE NOT EXISTS (SELECT 1 FROM background_jobs j \
             WHERE j.id = job_slots.job_id AND j.token = job_slots.token AND j.status = 'running')",
};
pub(crate) const LIMITS: Sql =
    both!("DELETE FROM job_limits WHERE tat < (SELECT clock_timestamp()) - 86400000000" us);
pub(crate) const WORKERS: Sql =
    both!("DELETE FROM job_workers WHERE seen_at < (SELECT clock_timestamp()) - 86400000000" us);

pub(crate) const STATEMENTS: &[Sql] = &[
    PROMOTE,
    NEXT_DUE,
    OLD,
    DELETE,
    OLD_DEAD,
    DELETE_DEAD,
    SLOTS,
    LIMITS,
    WORKERS,
    only_sqlite(DELETE_STARTS_LITE),
    only_sqlite(DELETE_EFFECTS_LITE),
];

/// What promoting did.
pub(crate) struct Promoted {
    /// In which queues how many.
    pub(crate) queues: BTreeMap<QueueName, u64>,
    /// When the next one is due.
    pub(crate) next: Option<Due>,
    /// What the database's clock said after it.
    pub(crate) now: Timestamp,
}

/// Makes due jobs available.
pub(crate) async fn promote(db: &Database, limit: u32) -> Result<Promoted, StoreError> {
    let moved: Vec<(String, u64)> = match db {
        Database::Pg(_) => db.sql(PROMOTE).bind(limit).relaxed().all().await?,
        Database::Sqlite(lite) => {
            let due = move |on: &Connection| {
                sqlite::query::<String>(on, PROMOTE.sqlite, &[limit.into(), Timestamp::now().into()])
            };
            // Looking needs no writer; promoting does.
            match next_due(db).await? {
                (Some(due_at), _) if due_at.wait.is_zero() => {
                    let queues = lite.write(Durability::Relaxed, due).await?;
                    queues.into_iter().map(|queue| (queue, 1)).collect()
                }
                _ => Vec::new(),
            }
        }
    };
    let mut queues = BTreeMap::new();
    for (queue, jobs) in moved {
        if let Ok(queue) = QueueName::new(queue) {
            *queues.entry(queue).or_insert(0) += jobs;
        }
    }
    let (next, now) = next_due(db).await?;
    Ok(Promoted { queues, next, now })
}

async fn next_due(db: &Database) -> Result<(Option<Due>, Timestamp), StoreError> {
    let (next, now) = db.sql(NEXT_DUE).one::<(Option<Timestamp>, Timestamp)>().await?;
    Ok((next.map(|at| Due { at, wait: between(now, at) }), now))
}

/// Where the last walk ended, so that a walk does not begin again at rows which stay.
#[derive(Debug, Default)]
pub(crate) struct Walk(Mutex<Option<Timestamp>>);

impl Walk {
    fn end(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes finished rows; how many.
pub(crate) async fn prune(db: &Database, keep: Duration, limit: u32, walk: &Walk) -> Result<u64, StoreError> {
    let age = micros(keep.max(KEPT_AT_LEAST));
    let from = walk.end().unwrap_or(Timestamp::UNIX_EPOCH);
    let old: Vec<(JobId, Timestamp)> = db.sql(OLD).bind(age).bind(limit).bind(from).all().await?;
    let end = old.last().map(|(_, at)| *at).filter(|_| old.len() as u64 >= u64::from(limit));
    *walk.end() = end;
    let ids: Vec<JobId> = old.into_iter().map(|(id, _)| id).collect();
    let deleted = delete(db, DELETE, ids).await?;
    if end.is_none() {
        db.sql(SLOTS).run().await?;
        db.sql(LIMITS).run().await?;
        db.sql(WORKERS).run().await?;
    }
    Ok(deleted)
}

/// Deletes jobs that are dead for longer; how many.
pub(crate) async fn prune_dead(db: &Database, keep: Duration, limit: u32) -> Result<u64, StoreError> {
    let age = micros(keep.max(KEPT_AT_LEAST));
    let ids: Vec<JobId> = db.sql(OLD_DEAD).bind(age).bind(limit).all().await?;
    delete(db, DELETE_DEAD, ids).await
}

async fn delete(db: &Database, sql: Sql, ids: Vec<JobId>) -> Result<u64, StoreError> {
    match db {
        _ if ids.is_empty() => Ok(0),
        Database::Pg(_) => db.sql(sql).column(Column::from(ids)).relaxed().one::<u64>().await,
        Database::Sqlite(lite) => {
            lite.write(Durability::Relaxed, move |on: &Connection| delete_on(on, sql.sqlite, &ids)).await
        }
    }
}

/// On the writer thread.
fn delete_on(connection: &Connection, delete: &str, ids: &[JobId]) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for id in ids {
        let id = [(*id).into()];
        if sqlite::run(connection, delete, &id)? == 1 {
            sqlite::run(connection, DELETE_STARTS_LITE, &id)?;
            sqlite::run(connection, DELETE_EFFECTS_LITE, &id)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
