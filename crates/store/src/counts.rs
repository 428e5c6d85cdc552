//! How many jobs of each queue stand where. Every count has a bound that all queues share, so that many queues cost no more than one.
//!
//! First the queues are found, one step through an index each. Of every one as many jobs are counted as its share allows; those that
//! have more get what the others left, and say that there may be more. No count reads the table from end to end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use backshift_core::{
    QueueCounts, QueueName, State, StoreError, Timestamp,
    store::{NEWEST_COUNTED, OVER_COUNTED, WAITING_COUNTED},
};

use crate::ledger::both::same;
use crate::{Database, Dialect, Durability, Executor, Sql, by_index::by_index, ledger::job_row::state};

macro_rules! names {
    ($table:literal, $ready:literal) => {
        concat!(
            "WITH RECURSIVE busy(name) AS (SELECT MIN(queue) FROM ",
            $table,
            " WHERE ",
            $ready,
            " UNION ALL SELECT (SELECT MIN(queue) FROM ",
            $table,
            " WHERE ",
            $ready,
            " AND queue > busy.name) FROM busy WHERE busy.name IS NOT NULL) SELECT name FROM busy WHERE name IS NOT NULL"
        )
    };
}

/// The queues with something to run.
pub(crate) const BUSY: Sql = Sql {
    pg: names!("job_line", "ready AND NOT alone AND aside IS NULL"),
    sqlite: names!(
        "background_jobs",
        "status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL"
    ),
};

/// The queues with something dead or cancelled. The words about the priority are those of the index, and of nobody else.
pub(crate) const KEEPING: Sql = Sql {
    pg: names!("background_jobs", "kept IS NOT NULL AND priority >= -32768"),
    sqlite: names!("background_jobs", "status IN ('dead', 'cancelled') AND priority >= -32768"),
};

/// What somebody decided about queues.
pub(crate) const DECIDED: &str = "SELECT name, paused FROM job_queues";

/// `$1` at most of each, `$2` pairs of queue and state, as JSON.
pub(crate) const WAITING: Sql = Sql {
    pg: "SELECT g.pair->>0, g.pair->>1, c.jobs, c.oldest FROM json_array_elements($2::text::json) AS g(pair) CROSS JOIN LATERAL \
         (SELECT COUNT(*) AS jobs, MIN(run_at) AS oldest FROM (SELECT run_at FROM job_line \
         WHERE ready AND NOT alone AND aside IS NULL AND queue = g.pair->>0 LIMIT $1) some_jobs) c",
    sqlite: "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), (SELECT COUNT(*) FROM (SELECT 1 \
             FROM background_jobs WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL \
             AND queue = json_extract(value, '$[0]') LIMIT $1) some_jobs), (SELECT MIN(run_at) FROM (SELECT run_at \
             FROM background_jobs WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 AND aside IS NULL \
             AND queue = json_extract(value, '$[0]') LIMIT $1) some_jobs) FROM json_each($2)",
};

/// The same of what a person decides about: out of an index alone, without its rows.
pub(crate) const KEPT: Sql = Sql {
    pg: "SELECT g.pair->>0, g.pair->>1, (SELECT COUNT(*) FROM (SELECT 1 FROM background_jobs WHERE kept IS NOT NULL \
         AND priority >= -32768 AND queue = g.pair->>0 AND kept = (g.pair->>1 = 'dead') LIMIT $1) some_jobs), \
         NULL::timestamptz FROM json_array_elements($2::text::json) AS g(pair)",
    sqlite: "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), (SELECT COUNT(*) FROM (SELECT 1 \
             FROM background_jobs WHERE status IN ('dead', 'cancelled') AND priority >= -32768 \
             AND queue = json_extract(value, '$[0]') AND status = json_extract(value, '$[1]') LIMIT $1) some_jobs), NULL \
             FROM json_each($2)",
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

/// Every other sort, `$1` at most of each. All claims are read by their key: one step that the planner would rather not take makes
/// every plan look equally dear to it. The sorts: 0 what must run alone, 1 what was put aside, 2 what waits for its time, 3 what a foreign
/// broker has, 4 what runs.
pub(crate) const OTHERS: Sql = Sql {
    pg: "SELECT sort, queue, status, COUNT(*) AS n, MIN(due) AS oldest FROM (\
         SELECT 0 AS sort, queue, 'available' AS status, run_at AS due FROM (SELECT queue, run_at FROM job_line \
         WHERE ready AND alone LIMIT $1) alone \
         UNION ALL SELECT 1, queue, 'available', run_at FROM (SELECT queue, run_at FROM job_line \
         WHERE ready AND NOT alone AND aside IS NOT NULL LIMIT $1) aside \
         UNION ALL SELECT 2, queue, CASE WHEN again THEN 'retrying' ELSE 'scheduled' END, NULL FROM (SELECT queue, again \
         FROM job_line WHERE NOT ready LIMIT $1) waiting \
         UNION ALL SELECT 3, queue, status, CASE WHEN status = 'available' THEN run_at END \
         FROM (SELECT queue, status, run_at FROM background_jobs WHERE abroad IS NOT NULL LIMIT $1) abroad \
         UNION ALL SELECT 4, queue, status, NULL FROM (SELECT j.queue, j.status FROM (SELECT DISTINCT u.job, u.token FROM job_claims h \
         CROSS JOIN LATERAL unnest(h.jobs, h.tokens) AS u(job, token) \
         WHERE h.id >= '00000000-0000-0000-0000-000000000000') c CROSS JOIN LATERAL (SELECT queue, \
         'running' AS status FROM background_jobs b WHERE b.id = c.job AND b.abroad IS NULL \
         AND ((b.status = 'running' AND b.token = c.token) OR (b.status = 'available' AND b.broker = 'postgres' \
         AND b.token = c.token - 1)) OFFSET 0) j LIMIT $1) running) sorts \
         GROUP BY sort, queue, status",
    sqlite: "SELECT sort, queue, status, COUNT(*) AS n, MIN(due) AS oldest FROM (\
             SELECT 0 AS sort, queue, status, run_at AS due FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE status = 'available' AND broker = 'embedded' AND crashes >= 3 LIMIT $1) alone \
             UNION ALL SELECT 1, queue, status, run_at FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE aside IS NOT NULL AND status = 'available' AND broker = 'embedded' AND crashes < 3 LIMIT $1) aside \
             UNION ALL SELECT 2, queue, status, NULL FROM (SELECT queue, status FROM background_jobs \
             WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded' LIMIT $1) waiting \
             UNION ALL SELECT 3, queue, status, CASE WHEN status = 'available' THEN run_at END \
             FROM (SELECT queue, status, run_at FROM background_jobs \
             WHERE status IN ('scheduled', 'available', 'retrying') AND broker <> 'embedded' LIMIT $1) abroad \
             UNION ALL SELECT 4, queue, status, NULL FROM (SELECT queue, status FROM background_jobs \
             WHERE status = 'running' LIMIT $1) running) sorts GROUP BY sort, queue, status",
};
/// The states that a sort of [`OTHERS`] may hold more of, where its counting ended.
const SORTS: [&[State]; 5] = [
    &[State::Available],
    &[State::Available],
    &[State::Scheduled, State::Retrying],
    &[State::Scheduled, State::Available, State::Retrying, State::Running],
    &[State::Running],
];

/// How many entries the line's index has, as of the last vacuum or analyze.
pub(crate) const ESTIMATE: &str =
    "SELECT GREATEST(reltuples, 0)::bigint FROM pg_class WHERE oid = 'job_line_ready'::regclass";

pub(crate) const STATEMENTS: &[Sql] =
    &[BUSY, KEEPING, same(DECIDED), WAITING, KEPT, NEWEST, OTHERS, Sql { pg: ESTIMATE, sqlite: "SELECT 1" }];

/// Jobs of each sort of [`OTHERS`] that are counted one by one.
const OTHERS_COUNTED: u32 = 50_000;
/// The least share of a queue.
const LEAST: i64 = 10;
/// Counting that took longer is not repeated at once.
const NOTICEABLE: Duration = Duration::from_millis(100);

/// Counts by state of every queue that has a row or was decided about, sorted by name.
pub(crate) async fn count(db: &Database) -> Result<Vec<QueueCounts>, StoreError> {
    let counted = match db {
        Database::Sqlite(_) => counted_by(db).await?,
        // Whatever its statistics say, no plan reads the table.
        Database::Pg(_) => {
            let tx = by_index(db, Durability::Relaxed).await?;
            let counted = counted_by(&tx).await?;
            tx.rollback().await?;
            counted
        }
    };
    Ok(counted.into_iter().filter_map(|(name, counted)| counted.named(&name)).collect())
}

async fn counted_by(on: &impl Executor) -> Result<BTreeMap<String, Counted>, StoreError> {
    let mut queues: BTreeMap<String, Counted> = BTreeMap::new();
    for (name, paused) in on.sql(DECIDED).all::<(String, bool)>().await? {
        queues.entry(name).or_default().paused = paused;
    }
    let busy = on.sql(BUSY).all::<String>().await?.into_iter();
    let mut waiting = shared(on, WAITING, busy.map(|name| (name, State::Available)), WAITING_COUNTED).await?;
    estimated(on, &mut waiting).await?;
    let keeping = on.sql(KEEPING).all::<String>().await?.into_iter();
    let keeping = keeping.flat_map(|name| [(name.clone(), State::Dead), (name, State::Cancelled)]);
    for one in waiting.into_iter().chain(shared(on, KEPT, keeping, OVER_COUNTED).await?) {
        let entry = queues.entry(one.queue).or_default();
        entry.add(one.state, one.jobs, one.oldest);
        entry.more.extend(one.more.then_some(one.state));
    }
    let more = [others(on, &mut queues).await?, newest(on, &mut queues).await?].concat();
    queues.values_mut().for_each(|queue| queue.more.extend_from_slice(&more));
    Ok(queues)
}

/// Counting ends at a bound. Where exactly one queue reached it, nearly everything that was not counted waits in that queue, so the
/// database's own guess of all that wait, less what was counted, is added to it: nearer than "or more".
async fn estimated(on: &impl Executor, waiting: &mut [Group]) -> Result<(), StoreError> {
    let counted: i64 = waiting.iter().map(|one| one.jobs).sum();
    let mut deep = waiting.iter_mut().filter(|one| one.more);
    let (Some(deepest), None, Dialect::Postgres) = (deep.next(), deep.next(), on.dialect()) else {
        return Ok(());
    };
    let more = on.sql(ESTIMATE).one::<i64>().await? - counted;
    if more > 0 {
        // A guess is no bound: nothing is "or more" than it.
        deepest.jobs += more;
        deepest.more = false;
    }
    Ok(())
}

/// Adds every other sort; the states of which any queue may have more.
async fn others(
    on: &impl Executor,
    queues: &mut BTreeMap<String, Counted>,
) -> Result<Vec<State>, StoreError> {
    type Row = (u8, String, String, i64, Option<Timestamp>);
    let mut all = [0; SORTS.len()];
    for (sort, name, status, count, oldest) in on.sql(OTHERS).bind(OTHERS_COUNTED).all::<Row>().await? {
        all[usize::from(sort) % SORTS.len()] += count;
        queues.entry(name).or_default().add(state(&status), count, oldest);
    }
    let ended = SORTS.iter().zip(all).filter(|(_, counted)| *counted >= i64::from(OTHERS_COUNTED));
    Ok(ended.flat_map(|(states, _)| *states).copied().collect())
}

async fn newest(
    on: &impl Executor,
    queues: &mut BTreeMap<String, Counted>,
) -> Result<Vec<State>, StoreError> {
    let mut looked = 0;
    for (name, status, count) in on.sql(NEWEST).bind(NEWEST_COUNTED).all::<(String, String, i64)>().await? {
        looked += count;
        if state(&status) == State::Completed {
            queues.entry(name).or_default().add(State::Completed, count, None);
        }
    }
    let ended = looked >= i64::from(NEWEST_COUNTED);
    Ok(ended.then_some(State::Completed).into_iter().collect())
}

/// Jobs of one queue in one state.
struct Group {
    queue: String,
    state: State,
    jobs: i64,
    more: bool,
    oldest: Option<Timestamp>,
}

/// Counts groups that share a total: each up to its share, then those that have more up to their share of a second total.
async fn shared(
    on: &impl Executor,
    sql: Sql,
    groups: impl Iterator<Item = (String, State)>,
    total: u32,
) -> Result<Vec<Group>, StoreError> {
    let groups: Vec<(String, State)> = groups.collect();
    let first = share(total, groups.len());
    let (more, mut counted): (Vec<Group>, Vec<Group>) =
        up_to(on, sql, groups, first).await?.into_iter().partition(|one| one.more);
    let second = share(total, more.len());
    counted.extend(match second > first {
        true => {
            let again = more.into_iter().map(|one| (one.queue, one.state)).collect();
            up_to(on, sql, again, second).await?
        }
        false => more,
    });
    Ok(counted)
}

async fn up_to(
    on: &impl Executor,
    sql: Sql,
    groups: Vec<(String, State)>,
    most: i64,
) -> Result<Vec<Group>, StoreError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<[&str; 2]> = groups.iter().map(|(name, state)| [name.as_str(), state.as_str()]).collect();
    let query = on.sql(sql).bind(most + 1).bind(serde_json::json!(pairs).to_string());
    let rows = query.all::<(String, String, i64, Option<Timestamp>)>().await?;
    let group = |(queue, status, jobs, oldest): (String, String, i64, _)| Group {
        queue,
        state: state(&status),
        jobs: jobs.min(most),
        more: jobs > most,
        oldest,
    };
    Ok(rows.into_iter().map(group).collect())
}

/// An equal part of a total, as a number that a person takes for a bound: one digit and noughts.
fn share(total: u32, groups: usize) -> i64 {
    let part = i64::from(total) / i64::try_from(groups.max(1)).unwrap_or(i64::MAX);
    let mut unit = 1;
    while part / unit >= 10 {
        unit *= 10;
    }
    (part / unit * unit).max(LEAST)
}

/// The last answer, kept for five times as long as it took when that was long: many pages may ask at once.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Option<(Instant, Vec<QueueCounts>)>>);

impl Tally {
    pub(crate) fn fresh(&self) -> Option<Vec<QueueCounts>> {
        self.last().as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, counts)| counts.clone())
    }

    pub(crate) fn keep(&self, began: Instant, counts: &[QueueCounts]) {
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
        let Self { paused, mut more, oldest, .. } = self;
        more.sort_unstable();
        more.dedup();
        Some(QueueCounts { queue, paused, by_state, more, oldest_due: oldest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_round_number_and_never_nothing() {
        let shares = [
            (100_000, 0),
            (100_000, 1),
            (100_000, 3),
            (100_000, 1_000),
            (100_000, 340),
            (100_000, 1_000_000),
        ];
        assert_eq!(
            shares.map(|(total, groups)| share(total, groups)),
            [100_000, 100_000, 30_000, 100, 200, 10]
        );
    }
}
