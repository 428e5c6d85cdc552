//! Queues as a whole: how many jobs stand where, and which queues are paused.
//!
//! Counting is bounded: what waits in one queue is counted exactly up to half a million, beyond that PostgreSQL's
//! own statistics answer. What is over is told up to a hundred thousand, the dead and cancelled ones of each queue out of an
//! index alone, the completed ones among the newest jobs of the last day: no count reads the table from end to end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use backshift_core::{
    Kind, QueueCounts, QueueName, State, StoreError, Timestamp,
    store::{Hints, OVER_COUNTED, ParkedKind, Queues},
};

use crate::ledger::both::same;
use crate::{
    Database, Durability, Executor, Sql, SqlStore,
    ledger::{enqueue::DECLARED, job_row::state, kinds, strangers},
    sweep::by_index,
};

macro_rules! available {
    ($table:literal, $ready:literal) => {
        concat!(
            "WITH RECURSIVE busy(name) AS (SELECT MIN(queue) FROM ", $table, " WHERE ", $ready,
            " UNION ALL SELECT (SELECT MIN(queue) FROM ", $table, " WHERE ", $ready,
            " AND queue > busy.name) FROM busy WHERE busy.name IS NOT NULL), \
             names(name) AS (SELECT name FROM busy WHERE name IS NOT NULL UNION SELECT name FROM job_queues) \
             SELECT n.name, COALESCE((SELECT q.paused FROM job_queues q WHERE q.name = n.name), false) AS paused, \
             (SELECT COUNT(*) FROM (SELECT 1 FROM ", $table, " WHERE ", $ready,
            " AND queue = n.name LIMIT $1) some_jobs) AS waiting, \
             (SELECT MIN(run_at) FROM (SELECT run_at FROM ", $table, " WHERE ", $ready,
            " AND queue = n.name LIMIT $1) some_jobs) AS oldest FROM names n ORDER BY n.name"
        )
    };
}

/// Jobs that are counted one by one in each group.
const COUNTED: i64 = 500_000;
/// Counting that took longer is not repeated at once.
const NOTICEABLE: Duration = Duration::from_millis(100);

/// The queues with something to run: one step through the index a queue, declared ones beside them.
pub(crate) const AVAILABLE: Sql = Sql {
    pg: available!("job_line", "ready AND NOT alone AND aside IS NULL"),
    sqlite: available!(
        "background_jobs",
        "status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL"
    ),
};

macro_rules! kept {
    ($kept:literal) => {
        concat!(
            "WITH RECURSIVE busy(name) AS (SELECT MIN(queue) FROM background_jobs WHERE ",
            $kept,
            " UNION ALL SELECT (SELECT MIN(queue) FROM background_jobs WHERE ",
            $kept,
            " AND queue > busy.name) FROM busy WHERE busy.name IS NOT NULL) \
             SELECT b.name, s.status, (SELECT COUNT(*) FROM (SELECT 1 FROM background_jobs WHERE ",
            $kept,
            " AND queue = b.name AND status = s.status LIMIT $1) some_jobs) AS n FROM busy b \
             CROSS JOIN (SELECT 'dead' AS status UNION ALL SELECT 'cancelled') s WHERE b.name IS NOT NULL"
        )
    };
}

/// What a person decides about, up to `$1` of each: one step through the index a queue, and not its rows. The words about the
/// priority are those of the index.
pub(crate) const KEPT: Sql = Sql {
    pg: kept!("kept AND priority >= -32768"),
    sqlite: kept!("status IN ('dead', 'cancelled') AND priority >= -32768"),
};

/// How the newest `$1` jobs of the last day stand.
pub(crate) const NEWEST: Sql = Sql {
    pg: "SELECT queue, status, COUNT(*) FROM (SELECT queue, status FROM background_jobs \
         WHERE created_at > (SELECT clock_timestamp()) - interval '1 day' \
         ORDER BY created_at DESC, id DESC LIMIT $1) newest GROUP BY queue, status",
    sqlite: "SELECT queue, status, COUNT(*) FROM (SELECT queue, status FROM background_jobs \
             WHERE created_at > (SELECT clock_timestamp()) - 86400000000 \
             ORDER BY created_at DESC, id DESC LIMIT $1) newest GROUP BY queue, status",
};

/// Every other group; `$1` bounds each.
pub(crate) const OTHERS: Sql = Sql {
    pg: "SELECT queue, status, COUNT(*) AS n, MIN(due) AS oldest FROM (\
         SELECT queue, 'available' AS status, run_at AS due FROM (SELECT queue, run_at FROM job_line \
         WHERE ready AND alone LIMIT $1) alone \
         UNION ALL SELECT queue, 'available', run_at FROM (SELECT queue, run_at FROM job_line \
         WHERE ready AND NOT alone AND aside IS NOT NULL LIMIT $1) aside \
         UNION ALL SELECT queue, status, NULL FROM (SELECT j.queue, j.status FROM job_line l \
         JOIN background_jobs j ON j.id = l.id WHERE NOT l.ready LIMIT $1) waiting \
         UNION ALL SELECT queue, status, CASE WHEN status = 'available' THEN run_at END \
         FROM (SELECT queue, status, run_at FROM background_jobs WHERE abroad IS NOT NULL LIMIT $1) abroad \
         UNION ALL SELECT queue, status, NULL FROM (SELECT queue, status FROM background_jobs \
         WHERE id IN (SELECT u.job FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs) AS u(job)) \
         AND status = 'running' AND abroad IS NULL LIMIT $1) running) groups GROUP BY queue, status",
    sqlite: "SELECT queue, status, COUNT(*) AS n, MIN(due) AS oldest FROM (\
             SELECT queue, status, run_at AS due FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE status = 'available' AND broker = 'embedded' AND crashes >= 3 LIMIT $1) alone \
             UNION ALL SELECT queue, status, run_at FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3 LIMIT $1) aside \
             UNION ALL SELECT queue, status, NULL FROM (SELECT queue, status FROM background_jobs \
             WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded' LIMIT $1) waiting \
             UNION ALL SELECT queue, status, CASE WHEN status = 'available' THEN run_at END \
             FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE status IN ('scheduled', 'available', 'retrying') AND broker <> 'embedded' LIMIT $1) abroad \
             UNION ALL SELECT queue, status, NULL FROM (SELECT queue, status FROM background_jobs \
             WHERE status = 'running' LIMIT $1) running) groups GROUP BY queue, status",
};

/// How many entries the line's index has, as of the last vacuum or analyze.
pub(crate) const ESTIMATE: &str =
    "SELECT GREATEST(reltuples, 0)::bigint FROM pg_class WHERE oid = 'job_line_ready'::regclass";

pub(crate) const PAUSE: &str = "INSERT INTO job_queues (name, paused) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET paused = excluded.paused WHERE job_queues.paused <> excluded.paused";
pub(crate) const IS_PAUSED: &str = "SELECT paused FROM job_queues WHERE name = $1";
pub(crate) const PAUSED: &str = "SELECT name FROM job_queues WHERE paused ORDER BY name";

pub(crate) const STATEMENTS: &[Sql] = &[
    AVAILABLE,
    KEPT,
    NEWEST,
    OTHERS,
    Sql { pg: ESTIMATE, sqlite: "SELECT 1" },
    same(PAUSE),
    same(IS_PAUSED),
    same(PAUSED),
    same(DECLARED),
];

#[async_trait]
impl Queues for SqlStore {
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError> {
        if let Some(counts) = self.tally.fresh() {
            return Ok(counts);
        }
        let began = Instant::now();
        let counts = count(self.database()).await?;
        self.tally.keep(began, &counts);
        Ok(counts)
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
        let changed = turned(self.database(), queue, paused).await?;
        self.tally.forget();
        if changed {
            self.bell.wish().await;
        }
        Ok(changed)
    }

    async fn paused(&self) -> Result<Vec<QueueName>, StoreError> {
        let names = self.database().sql(PAUSED).all::<String>().await?;
        Ok(names.iter().filter_map(|name| QueueName::new(name).ok()).collect())
    }

    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError> {
        strangers::parked(self.database()).await
    }

    async fn next_kinds(&self, queue: &QueueName) -> Result<Vec<Kind>, StoreError> {
        kinds::next(self.database(), queue).await
    }

    fn wishes(&self) -> Box<dyn Hints> {
        Box::new(self.bell.wishes())
    }
}

/// Pauses or resumes; whether that changed anything.
pub(crate) async fn turned(on: &impl Executor, queue: &QueueName, paused: bool) -> Result<bool, StoreError> {
    if !paused && on.sql(IS_PAUSED).bind(queue).optional::<bool>().await? != Some(true) {
        return Ok(false);
    }
    Ok(on.sql(PAUSE).bind(queue).bind(paused).run().await? == 1)
}

async fn count(db: &Database) -> Result<Vec<QueueCounts>, StoreError> {
    let counted = match db {
        Database::Sqlite(_) => counted_by(db, i64::MAX).await?,
        // Whatever its statistics say, no plan reads the table.
        Database::Pg(_) => {
            let tx = by_index(db, Durability::Relaxed).await?;
            let counted = counted_by(&tx, COUNTED).await?;
            tx.rollback().await?;
            counted
        }
    };
    Ok(counted.into_iter().filter_map(|(name, counted)| counted.named(&name)).collect())
}

async fn counted_by(on: &impl Executor, bound: i64) -> Result<BTreeMap<String, Counted>, StoreError> {
    let mut queues = BTreeMap::new();
    let waiting = on.sql(AVAILABLE).bind(bound).all::<(String, bool, i64, Option<Timestamp>)>().await?;
    for (name, paused, mut count, oldest) in waiting {
        if count >= bound {
            count = count.max(on.sql(ESTIMATE).one::<i64>().await?);
        }
        let entry: &mut Counted = queues.entry(name).or_default();
        entry.paused = paused;
        entry.add(State::Available, count, oldest);
    }
    let others = on.sql(OTHERS).bind(bound);
    for (name, status, count, oldest) in others.all::<(String, String, i64, Option<Timestamp>)>().await? {
        queues.entry(name).or_default().add(state(&status), count, oldest);
    }
    over(on, &mut queues).await?;
    Ok(queues)
}

/// What is over, as far as it is counted.
async fn over(on: &impl Executor, queues: &mut BTreeMap<String, Counted>) -> Result<(), StoreError> {
    let most = i64::from(OVER_COUNTED);
    for (name, status, count) in on.sql(KEPT).bind(most + 1).all::<(String, String, i64)>().await? {
        let entry = queues.entry(name).or_default();
        entry.add(state(&status), count.min(most), None);
        if count > most {
            entry.more.push(state(&status));
        }
    }
    let mut looked = 0;
    for (name, status, count) in on.sql(NEWEST).bind(most).all::<(String, String, i64)>().await? {
        looked += count;
        if state(&status) == State::Completed {
            queues.entry(name).or_default().add(State::Completed, count, None);
        }
    }
    if looked >= most {
        queues.values_mut().for_each(|queue| queue.more.push(State::Completed));
    }
    Ok(())
}

/// The last answer, kept for five times as long as it took when that was long: many pages may ask at once.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Option<(Instant, Vec<QueueCounts>)>>);

impl Tally {
    fn fresh(&self) -> Option<Vec<QueueCounts>> {
        self.last().as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, counts)| counts.clone())
    }

    fn keep(&self, began: Instant, counts: &[QueueCounts]) {
        let took = began.elapsed();
        *self.last() = (took > NOTICEABLE).then(|| (Instant::now() + took * 5, counts.to_vec()));
    }

    pub(crate) fn forget(&self) {
        *self.last() = None;
    }

    fn last(&self) -> MutexGuard<'_, Option<(Instant, Vec<QueueCounts>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Counted {
    paused: bool,
    by_state: BTreeMap<State, u64>,
    more: Vec<State>,
    oldest: Option<Timestamp>,
}

impl Counted {
    fn add(&mut self, state: State, count: i64, oldest: Option<Timestamp>) {
        if count > 0 {
            *self.by_state.entry(state).or_default() += count.unsigned_abs();
        }
        self.oldest = self.oldest.into_iter().chain(oldest).min();
    }

    fn named(self, name: &str) -> Option<QueueCounts> {
        let queue = QueueName::new(name).ok()?;
        let by_state = self.by_state.into_iter().collect();
        let Self { paused, more, oldest, .. } = self;
        Some(QueueCounts { queue, paused, by_state, more, oldest_due: oldest })
    }
}
