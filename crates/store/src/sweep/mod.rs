//! What people do by hand, and to all jobs that match, batch by batch.
//!
//! A batch is looked for outside of the transaction and claimed by its number inside: whoever comes second finds the number
//! taken and looks for the next one. The place, the jobs and who did it are one commit.

pub(crate) mod deeds;
mod find;
pub(crate) mod retention;
pub(crate) mod told;
mod wish;

use std::collections::BTreeSet;

use async_trait::async_trait;
use backshift_core::{
    JobFilter, JobId, QueueName, State, StoreError, Timestamp,
    sweep::{Causes, Deed, Hand, HandRecord, Matching, Sweep, SweepRecord, Sweeps, Swept},
};
use uuid::Uuid;

use crate::{
    Durability, FromRow, Row, Sql, SqlStore,
    by_index::by_index,
    ledger::{both, both::same, jobs},
};

pub use retention::HandsRetention;

/// A time that every database can hold: after all others.
const AHEAD: Timestamp = Timestamp::constant(253_370_764_800, 0);
/// So often a batch is tried whose unique keys somebody took meanwhile, or is about to take.
const TRIES: usize = 4;

/// An unfinished sweep that nobody worked on for an hour is another matter by now: equal words begin a new one. It is not at
/// its end, and whoever names it may still go on with it.
pub(crate) const FORGET: Sql = both::both!(
    "UPDATE job_sweeps SET open = false WHERE deed = $1 AND words = $2 AND open \
     AND touched_at < clock_timestamp() - 3600000000" us
);
/// `$10`: the latest time that a job of it was accepted.
pub(crate) const BEGIN: Sql = both::both!(
    "INSERT INTO job_sweeps (id, deed, words, filter, who, why, expected, more, begun_at, touched_at, since_at, until_at) \
     SELECT $3, $1, $2, $4, $5, $6, $7, $8, clock_timestamp(), clock_timestamp(), $9, " least "(clock_timestamp(), $10) \
     WHERE true ON CONFLICT DO NOTHING"
);
pub(crate) const OPEN: &str =
    "SELECT id, found, changed, done FROM job_sweeps WHERE deed = $1 AND words = $2 AND open";
pub(crate) const READ: &str = "SELECT id, found, changed, done, batch, deed, filter, since_at, until_at, after_at, after_id, \
     words, who, why, expected, more, begun_at, touched_at FROM job_sweeps WHERE id = $1";
/// `$2`: the number of the batch; nobody else may have done it.
pub(crate) const GO_ON: &str = "UPDATE job_sweeps SET batch = batch + 1, touched_at = clock_timestamp(), \
     found = found + $3, after_at = $4, after_id = $5, done = $6, open = (open AND NOT $6) WHERE id = $1 AND batch = $2 AND NOT done";
pub(crate) const COUNT_UP: &str = "UPDATE job_sweeps SET changed = changed + $2 WHERE id = $1";

pub(crate) const STATEMENTS: &[Sql] = &[FORGET, BEGIN, same(OPEN), same(READ), same(GO_ON), same(COUNT_UP)];

/// The texts that are put together, for the tests that prepare and explain them.
pub(crate) fn texts(dialect: crate::Dialect) -> Vec<String> {
    deeds::texts(dialect).into_iter().chain(find::texts(dialect)).collect()
}

/// How far a sweep is.
struct Far(Swept);

impl FromRow for Far {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let number = |place| Ok::<_, StoreError>(row.at::<i64>(place)?.unsigned_abs());
        let (found, changed) = (number(1)?, number(2)?);
        Ok(Self(Swept { id: row.at(0)?, found, changed, done: row.at(3)?, queues: Vec::new() }))
    }
}

/// A sweep as it stands, and where it goes on.
struct Standing {
    record: SweepRecord,
    batch: i64,
    after: Option<(Timestamp, JobId)>,
}

impl FromRow for Standing {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let filter = wish::read(&row.at::<String>(6)?)?;
        let filter = JobFilter { since: row.at(7)?, until: Some(row.at(8)?), ..filter };
        let sweep = Sweep {
            deed: wish::deed(&row.at::<String>(5)?)?,
            filter,
            words: row.at(11)?,
            hand: Hand { who: row.at(12)?, why: row.at(13)? },
            expected: Matching { jobs: row.at::<i64>(14)?.unsigned_abs(), more: row.at(15)? },
        };
        let swept = Far::from_row(row)?.0;
        Ok(Self {
            record: SweepRecord { sweep, swept, begun_at: row.at(16)?, touched_at: row.at(17)? },
            batch: row.at(4)?,
            after: row.at::<Option<Timestamp>>(9)?.zip(row.at::<Option<JobId>>(10)?),
        })
    }
}

#[async_trait]
impl Sweeps for SqlStore {
    async fn matching(&self, filter: &JobFilter) -> Result<Matching, StoreError> {
        find::count(self.database(), filter).await
    }

    async fn begin_sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError> {
        wish::legal(sweep)?;
        let db = self.database();
        let (deed, words) = (sweep.deed.as_str(), sweep.words.as_str());
        let Sweep { filter, hand, expected, .. } = sweep;
        db.sql(FORGET).bind(deed).bind(words).run().await?;
        for _ in 0..TRIES {
            let begin = db.sql(BEGIN).bind(deed).bind(words).bind(Uuid::now_v7()).bind(wish::text(filter));
            let begin = begin.bind(hand.who.as_str()).bind(hand.why.clone());
            let begin = begin.bind(i64::try_from(expected.jobs).unwrap_or(i64::MAX)).bind(expected.more);
            // A time far ahead, because a comparison with nothing is nothing on SQLite.
            begin.bind(filter.since).bind(filter.until.unwrap_or(AHEAD)).run().await?;
            // Somebody may have ended it between the two.
            if let Some(found) = db.sql(OPEN).bind(deed).bind(words).optional::<Far>().await? {
                return Ok(found.0);
            }
        }
        Err(StoreError::Unavailable(
            "the sweep was ended by somebody else while it began; wish it again".into(),
        ))
    }

    async fn sweep(&self, id: Uuid, hand: &Hand) -> Result<Swept, StoreError> {
        wish::signed(hand)?;
        let mut tries = 0;
        loop {
            let standing = self.standing(id).await?;
            let standing = standing.ok_or_else(|| StoreError::NotFound(format!("the sweep {id}")))?;
            if standing.record.swept.done {
                return Ok(standing.record.swept);
            }
            match self.batch(standing, hand).await {
                Ok(Some(swept)) => return Ok(swept),
                // Somebody else did this one.
                Ok(None) => {}
                Err(error) if tries < TRIES && (jobs::is_held(&error) || deeds::is_contended(&error)) => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn find_sweep(&self, id: Uuid) -> Result<Option<SweepRecord>, StoreError> {
        Ok(self.standing(id).await?.map(|standing| standing.record))
    }

    async fn act(&self, deed: Deed, job: JobId, hand: &Hand) -> Result<State, StoreError> {
        wish::signed(hand)?;
        let state = deeds::one(self.database(), deed, job, hand).await?;
        if deed == Deed::Cancel && state == State::Running {
            self.bell.wish().await;
        }
        Ok(state)
    }

    async fn turn(&self, queue: &QueueName, paused: bool, hand: &Hand) -> Result<bool, StoreError> {
        wish::signed(hand)?;
        let changed = deeds::turn(self.database(), queue, paused, hand).await?;
        self.tally.forget();
        if changed {
            self.bell.wish().await;
        }
        Ok(changed)
    }

    async fn hands(&self, job: JobId) -> Result<Vec<HandRecord>, StoreError> {
        told::of_job(self.database(), job).await
    }

    async fn last_hands(&self, jobs: &[JobId]) -> Result<Vec<HandRecord>, StoreError> {
        told::last(self.database(), jobs).await
    }

    async fn all_hands(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<HandRecord>, StoreError> {
        told::all(self.database(), before.unwrap_or(AHEAD), limit).await
    }

    async fn causes(&self, filter: &JobFilter) -> Result<Causes, StoreError> {
        find::causes(self.database(), filter).await
    }
}

impl SqlStore {
    async fn standing(&self, id: Uuid) -> Result<Option<Standing>, StoreError> {
        self.database().sql(READ).bind(id).optional::<Standing>().await
    }

    /// One batch; `None` = its number was taken.
    async fn batch(&self, standing: Standing, hand: &Hand) -> Result<Option<Swept>, StoreError> {
        let Standing { record: SweepRecord { sweep, mut swept, .. }, batch, after } = standing;
        let (jobs, next) = find::some(self.database(), &sweep.filter, after).await?;
        let tx = by_index(self.database(), Durability::Strict).await?;
        let found = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
        let go_on = tx.sql(GO_ON).bind(swept.id).bind(batch).bind(found);
        let go_on =
            go_on.bind(next.map(|place| place.0)).bind(next.map(|place| place.1)).bind(next.is_none());
        if go_on.run().await? == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        let done = deeds::many(&tx, (sweep.deed, &sweep.filter), (hand, swept.id), jobs).await?;
        let changed = done.changed.len() as u64;
        tx.sql(COUNT_UP).bind(swept.id).bind(i64::try_from(changed).unwrap_or(i64::MAX)).run().await?;
        tx.commit().await?;
        if done.asked {
            self.bell.wish().await;
        }
        swept.found += found.unsigned_abs();
        swept.changed += changed;
        swept.done = next.is_none();
        let due = if sweep.deed == Deed::Retry { done.queues } else { BTreeSet::new() };
        swept.queues = due.into_iter().filter_map(|queue| QueueName::new(queue).ok()).collect();
        Ok(Some(swept))
    }
}
