//! What is done to the jobs of one batch, to one job, to a queue; and that it is written down with it.
//!
//! The rows are locked in the order of their ids before anything is changed, as by everybody who changes several, so that two
//! batches cannot wait for each other. Whoever does not match any more by then is left alone. Jobs with a unique key go one
//! by one, because of two of them with the same key only one may run again.

use std::collections::BTreeSet;

use backshift_core::{
    JobFilter, JobId, QueueName, State, StoreError,
    sweep::{Deed, Hand},
};
use uuid::Uuid;

use super::find::{Met, lock};
use crate::{
    Column, Database, Dialect, Durability, Executor, Sql, Tx,
    by_index::by_index,
    ledger::{
        both::{both, same},
        job_row::state,
        jobs, taken,
    },
    queues,
};

/// `$1` deed, `$2` who, `$3` why, `$4` sweep; then the jobs.
pub(crate) const NOTE: Sql = Sql {
    pg: "INSERT INTO job_deeds (at, deed, job_id, who, why, sweep) \
         SELECT clock_timestamp(), $1::text, j, $2::text, $3::text, $4::uuid FROM unnest($5::uuid[]) AS j",
    sqlite: "INSERT INTO job_deeds (at, deed, job_id, who, why, sweep) VALUES (clock_timestamp(), $1, $5, $2, $3, $4)",
};
pub(crate) const NOTE_QUEUE: &str =
    "INSERT INTO job_deeds (at, deed, queue, who, why) VALUES (clock_timestamp(), $1, $2, $3, $4)";

/// Only what is over, and of a foreign broker only when its redelivery cannot come any more.
macro_rules! over {
    ([$($before:tt)+] [$($after:tt)*]) => {
        both!(
            $($before)+ "status IN ('completed', 'dead', 'cancelled') \
             AND (broker IN ('postgres', 'embedded') OR finished_at < clock_timestamp() - 86400000000" us ")" $($after)*
        )
    };
}

const DELETE: Sql = over!(["DELETE FROM background_jobs WHERE " ids " AND "] []);
/// The state and whether [`DELETE`] would take it, in one look: between two it may end.
const IS_OVER: Sql = over!(["SELECT status, COALESCE("][", false) FROM background_jobs WHERE id = $1"]);
const DELETE_STARTS: Sql = both!("DELETE FROM job_attempts WHERE " job_ids);
const DELETE_EFFECTS: Sql = both!("DELETE FROM job_effects WHERE " job_ids);

/// Nobody else has the seat of its key; a job that waits has it itself.
const FREE: Sql = Sql {
    pg: " AND NOT EXISTS (SELECT 1 FROM background_jobs h WHERE h.seat = background_jobs.unique_key \
         AND h.id <> background_jobs.id)",
    sqlite: " AND NOT EXISTS (SELECT 1 FROM background_jobs h WHERE h.unique_key = background_jobs.unique_key \
             AND h.id <> background_jobs.id AND h.unique_key IS NOT NULL AND h.superseded = 0 \
             AND h.status IN ('scheduled', 'available', 'running', 'retrying'))",
};

pub(crate) const STATEMENTS: &[Sql] =
    &[NOTE, same(NOTE_QUEUE), DELETE, IS_OVER, DELETE_STARTS, DELETE_EFFECTS];

/// The texts of all deeds.
pub(super) fn texts(dialect: Dialect) -> Vec<String> {
    let deeds = [Deed::Retry, Deed::Cancel, Deed::Delete];
    deeds.into_iter().map(|deed| text(dialect, deed, true)).collect()
}

fn text(dialect: Dialect, deed: Deed, has_key: bool) -> String {
    let sql = match deed {
        Deed::Retry => jobs::RETRY,
        Deed::Cancel => jobs::CANCEL,
        Deed::Delete => DELETE,
    };
    let free = if has_key && deed == Deed::Retry { FREE.text(dialect) } else { "" };
    format!("{}{free} RETURNING id, queue, status", sql.text(dialect))
}

/// How long a batch waits for a key that an open transaction is about to take. Shorter than PostgreSQL's deadlock_timeout (a
/// second, unless somebody changed it): where both hold a key that the other wants, the batch gives way and is tried again, and
/// not the user's transaction.
const GIVES_WAY: &str = "SELECT set_config('lock_timeout', '400ms', true)";

/// The batch gave way: nothing of it happened.
pub(super) fn is_contended(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(text) if text.contains("55P03") || text.contains("40P01"))
}

/// What came of it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) changed: Vec<JobId>,
    pub(super) queues: BTreeSet<String>,
    /// A running job was asked to stop.
    pub(super) asked: bool,
}

/// Does it to those of these jobs that still match.
pub(super) async fn many(
    tx: &Tx,
    (deed, filter): (Deed, &JobFilter),
    (hand, sweep): (&Hand, Uuid),
    jobs: Vec<JobId>,
) -> Result<Done, StoreError> {
    let mut done = Done::default();
    if jobs.is_empty() {
        return Ok(done);
    }
    let mut locked = lock(tx, filter, &jobs).await?;
    if deed == Deed::Cancel {
        let met: Vec<JobId> = locked.iter().map(|job| job.id).collect();
        taken::show_starts(tx, &met).await?;
        // Whoever was taken in between may match no more; and nobody else is touched, whose start was not written.
        locked = lock(tx, filter, &met).await?;
    }
    let (keyed, plain): (Vec<Met>, Vec<Met>) =
        locked.into_iter().partition(|job| deed == Deed::Retry && job.has_key);
    if !keyed.is_empty() && tx.dialect() == Dialect::Postgres {
        tx.sql(GIVES_WAY).all::<String>().await?;
    }
    let plain: Vec<JobId> = plain.into_iter().map(|job| job.id).collect();
    let keyed = keyed.into_iter().map(|job| (vec![job.id], true));
    for (ids, has_key) in std::iter::once((plain, false)).chain(keyed) {
        if ids.is_empty() {
            continue;
        }
        let query = tx.text(text(tx.dialect(), deed, has_key)).column(Column::from(ids));
        for (id, queue, status) in query.all::<(JobId, String, String)>().await? {
            done.changed.push(id);
            done.queues.insert(queue);
            done.asked |= deed == Deed::Cancel && status == State::Running.as_str();
        }
    }
    note(tx, deed, hand, Some(sweep), &done.changed).await?;
    Ok(done)
}

/// Does it to one job; the state after it.
pub(super) async fn one(db: &Database, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
    for _ in 0..jobs::TRIES {
        let tx = by_index(db, Durability::Strict).await?;
        if deed == Deed::Cancel {
            tx.sql(jobs::LOCK).bind(job).all::<()>().await?;
            taken::show_starts(&tx, &[job]).await?;
        }
        let query = tx.text(text(db.dialect(), deed, false)).column(Column::from(vec![job]));
        let changed = query.all::<(JobId, String, String)>().await.map_err(jobs::held(job))?.pop();
        if let Some((.., status)) = changed {
            note(&tx, deed, hand, None, &[job]).await?;
            tx.commit().await?;
            return Ok(state(&status));
        }
        tx.rollback().await?;
        if let Some(state) = unchanged(db, deed, job).await? {
            return Ok(state);
        }
    }
    Err(jobs::restless(job))
}

/// Why nothing was changed; `None` = it can be by now.
async fn unchanged(db: &Database, deed: Deed, job: JobId) -> Result<Option<State>, StoreError> {
    match deed {
        Deed::Retry => jobs::not_again(db, job).await,
        // What is not over can be cancelled: it has begun anew since.
        Deed::Cancel => Ok(Some(jobs::current(db, job).await?).filter(|state| state.is_final())),
        Deed::Delete => {
            let found = db.sql(IS_OVER).bind(job).optional::<(String, bool)>().await?;
            let (status, free) = found.ok_or_else(|| StoreError::NotFound(format!("job {job}")))?;
            match state(&status) {
                _ if free => Ok(None),
                over if over.is_final() => Err(StoreError::Rejected(format!(
                    "job {job} stays: its broker may deliver it again for a day after its end, and would run it anew"
                ))),
                as_it_is => Err(StoreError::Rejected(format!(
                    "job {job} stays: it is {}, and only what is over is deleted; cancel it first",
                    as_it_is.as_str()
                ))),
            }
        }
    }
}

/// What goes with a job that is deleted, and who did it.
async fn note(
    tx: &Tx,
    deed: Deed,
    hand: &Hand,
    sweep: Option<Uuid>,
    jobs: &[JobId],
) -> Result<(), StoreError> {
    if jobs.is_empty() {
        return Ok(());
    }
    if deed == Deed::Delete {
        for sql in [DELETE_STARTS, DELETE_EFFECTS] {
            tx.sql(sql).column(Column::from(jobs.to_vec())).run().await?;
        }
    }
    let note = tx.sql(NOTE).bind(deed.as_str()).bind(hand.who.as_str()).bind(hand.why.clone()).bind(sweep);
    note.column(Column::from(jobs.to_vec())).run().await?;
    Ok(())
}

/// Pauses or resumes a queue; whether that changed anything.
pub(super) async fn turn(
    db: &Database,
    queue: &QueueName,
    paused: bool,
    hand: &Hand,
) -> Result<bool, StoreError> {
    let tx = db.begin().await?;
    if !queues::turned(&tx, queue, paused).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    let deed = if paused { "pause" } else { "resume" };
    let note = tx.sql(NOTE_QUEUE).bind(deed).bind(queue).bind(hand.who.as_str()).bind(hand.why.clone());
    note.run().await?;
    tx.commit().await?;
    Ok(true)
}
