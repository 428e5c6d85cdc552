//! Which jobs a sweep meets next, which of them still match when they are touched, how many there are, and what the dead
//! died of.
//!
//! What looks for jobs walks the index of the list, or the small one of what is kept, in windows of a bounded number of jobs: no
//! statement reads the whole table, whatever its statistics say.

use std::collections::BTreeMap;

use backshift_core::{
    JobFilter, JobId, State, StoreError, Timestamp,
    sweep::{BATCH, COUNTED, CauseRecord, Causes, Matching},
};

use crate::{
    Database, Dialect, Durability, Executor, Tx,
    by_index::by_index,
    ledger::{
        list::{ORDER, Place, between, literals, narrowed, said, state_literal},
        search::{end, few, order},
    },
};

/// Looks at one window. SQLite reads without a transaction, which would hold its only writer.
macro_rules! in_window {
    ($db:expr, $on:ident, $look:block) => {
        match $db.dialect() {
            Dialect::Sqlite => {
                let $on = $db;
                $look
            }
            Dialect::Postgres => {
                let tx = by_index($db, Durability::Relaxed).await?;
                let $on = &tx;
                let found = $look;
                tx.rollback().await?;
                found
            }
        }
    };
}

/// Windows in which a batch looks for its jobs.
const WINDOWS: usize = 40;
/// Windows that a count looks at, for which a person waits: then it says that there may be more.
const COUNT_WINDOWS: usize = 4;
/// The same of what the dead died of, which reads their rows and not only an index.
const CAUSE_WINDOWS: usize = 2;
/// Causes that are told.
const CAUSES: usize = 100;

/// A job that is locked.
pub(super) struct Met {
    pub(super) id: JobId,
    pub(super) has_key: bool,
}

const MET: &str = "SELECT id, created_at FROM background_jobs WHERE true";
const SAID: &str = "SELECT id, COALESCE(error_message, reason) FROM background_jobs WHERE true";
const LOCKED: &str = "SELECT id, unique_key IS NOT NULL FROM background_jobs WHERE true";
const COUNT: &str = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM background_jobs WHERE true";
const CAUSE: &str = "SELECT error_fingerprint, COUNT(*), MIN(created_at), MAX(created_at), MAX(CAST(id AS text)) \
     FROM background_jobs WHERE true";

/// What is sent for each state, up to its optional filters.
pub(super) fn texts(dialect: Dialect) -> Vec<String> {
    let of = |state| JobFilter { state: Some(state), ..JobFilter::default() };
    let mut texts = Vec::new();
    for state in State::ALL {
        let window = window(dialect, &of(state));
        texts.push(format!("{MET}{window}{ORDER}500"));
        texts.push(format!("{COUNT}{window}{ORDER}100001) matching"));
        let [before, after] = among(dialect);
        texts.push(format!("{LOCKED}{window}{before}$1{after}{}", lock_words(dialect)));
    }
    let [before, after] = among(dialect);
    texts.push(format!("{SAID}{before}$1{after}"));
    texts.push(format!("{CAUSE}{} GROUP BY error_fingerprint", window(dialect, &of(State::Dead))));
    texts
}

/// Around the list of ids. A list in brackets is expected to be short, so that PostgreSQL goes by id whatever it knows of the
/// table.
fn among(dialect: Dialect) -> [&'static str; 2] {
    match dialect {
        Dialect::Postgres => [" AND id = ANY ((SELECT ", "::text::uuid[])::uuid[])"],
        Dialect::Sqlite => [" AND id IN (SELECT value FROM json_each(", "))"],
    }
}

/// The list of ids as [`among`] takes it.
fn listed(dialect: Dialect, ids: impl Iterator<Item = JobId>) -> String {
    let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    match dialect {
        Dialect::Postgres => format!("{{{}}}", ids.join(",")),
        Dialect::Sqlite => serde_json::Value::from(ids).to_string(),
    }
}

fn lock_words(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => " ORDER BY id FOR UPDATE",
        Dialect::Sqlite => "",
    }
}

/// Locks those of these jobs that still match, in the order of their ids.
pub(super) async fn lock(tx: &Tx, filter: &JobFilter, jobs: &[JobId]) -> Result<Vec<Met>, StoreError> {
    let dialect = tx.dialect();
    let list = listed(dialect, jobs.iter().copied());
    let [before, after] = among(dialect);
    let query = tx.text(format!("{LOCKED}{}", window(dialect, filter)));
    let query =
        said(narrowed(query, dialect, filter), dialect, filter).push(before).push_bind(list).push(after);
    let query = query.push(lock_words(dialect));
    let locked = query.all::<(JobId, bool)>().await?;
    Ok(locked.into_iter().map(|(id, has_key)| Met { id, has_key }).collect())
}

/// The next jobs, at most a batch, and where to go on after them; `None` = nowhere.
pub(super) async fn some(
    db: &Database,
    filter: &JobFilter,
    mut after: Option<Place>,
) -> Result<(Vec<JobId>, Option<Place>), StoreError> {
    for _ in 0..WINDOWS {
        let (rows, end) = in_window!(db, on, {
            let end = end(on, filter, after).await?;
            let query = on.text(format!("{MET}{}", window(on.dialect(), filter)));
            let query =
                said(narrowed(between(query, after, end), on.dialect(), filter), on.dialect(), filter);
            let query = query.push(order(on.dialect(), filter)).push_bind(i64::from(BATCH));
            (query.all::<(JobId, Timestamp)>().await?, end)
        });
        let next = match rows.last() {
            Some((id, at)) if rows.len() == BATCH as usize => Some((*at, *id)),
            _ => end,
        };
        if !rows.is_empty() || next.is_none() {
            return Ok((rows.into_iter().map(|(id, _)| id).collect(), next));
        }
        after = next;
    }
    Ok((Vec::new(), after))
}

/// What narrows a window to its state and effect. Running jobs are not looked for among the claims: the window has a bound.
fn window(dialect: Dialect, filter: &JobFilter) -> String {
    match filter.state {
        Some(State::Dead | State::Cancelled) => literals(dialect, filter.state, filter.effect),
        state => {
            let state = state.map_or(String::new(), |state| state_literal(dialect, state));
            state + &literals(dialect, None, filter.effect)
        }
    }
}

/// How many match.
pub(super) async fn count(db: &Database, filter: &JobFilter) -> Result<Matching, StoreError> {
    let most = i64::try_from(COUNTED).unwrap_or(i64::MAX);
    if let Some(jobs) = in_window!(db, on, { few(on, filter, most).await? }) {
        return Ok(Matching { jobs: jobs.min(most).unsigned_abs(), more: jobs > most });
    }
    let (mut jobs, mut after) = (0, None);
    for _ in 0..COUNT_WINDOWS {
        let (more, end) = in_window!(db, on, {
            let end = end(on, filter, after).await?;
            let query = on.text(format!("{COUNT}{}", window(on.dialect(), filter)));
            let query =
                said(narrowed(between(query, after, end), on.dialect(), filter), on.dialect(), filter);
            let query = query.push(order(on.dialect(), filter)).push_bind(most + 1).push(") matching");
            (query.one::<i64>().await?, end)
        });
        jobs += more;
        if jobs > most || end.is_none() {
            return Ok(Matching { jobs: jobs.min(most).unsigned_abs(), more: jobs > most });
        }
        after = end;
    }
    Ok(Matching { jobs: jobs.unsigned_abs(), more: true })
}

type Group = (Option<String>, i64, Timestamp, Timestamp, String);

/// The dead jobs that match, by cause.
pub(super) async fn causes(db: &Database, filter: &JobFilter) -> Result<Causes, StoreError> {
    let filter = JobFilter { state: Some(State::Dead), ..filter.clone() };
    let mut causes: BTreeMap<Option<String>, CauseRecord> = BTreeMap::new();
    let mut after = None::<Place>;
    for _ in 0..CAUSE_WINDOWS {
        let (groups, end) = in_window!(db, on, {
            let end = end(on, &filter, after).await?;
            let query = on.text(format!("{CAUSE}{}", window(on.dialect(), &filter)));
            let query =
                said(narrowed(between(query, after, end), on.dialect(), &filter), on.dialect(), &filter);
            (query.push(" GROUP BY error_fingerprint").all::<Group>().await?, end)
        });
        for group in groups {
            add(&mut causes, group)?;
        }
        after = end;
        if end.is_none() {
            break;
        }
    }
    let mut causes: Vec<CauseRecord> = causes.into_values().collect();
    causes.sort_by_key(|cause| (std::cmp::Reverse(cause.jobs), cause.fingerprint.clone()));
    causes.truncate(CAUSES);
    let mut said = said_by(db, &causes).await?;
    for cause in &mut causes {
        cause.error = said.remove(&cause.example).flatten();
    }
    Ok(Causes { causes, back_to: after.map(|(at, _)| at) })
}

/// What the examples of these causes said.
async fn said_by(
    db: &Database,
    causes: &[CauseRecord],
) -> Result<BTreeMap<JobId, Option<String>>, StoreError> {
    if causes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let [before, after] = among(db.dialect());
    let examples = listed(db.dialect(), causes.iter().map(|cause| cause.example));
    let said = in_window!(db, on, {
        let said = on.text(SAID.to_owned()).push(before).push_bind(examples).push(after);
        said.all::<(JobId, Option<String>)>().await?
    });
    Ok(said.into_iter().collect())
}

fn add(causes: &mut BTreeMap<Option<String>, CauseRecord>, group: Group) -> Result<(), StoreError> {
    let (fingerprint, jobs, first, last, example) = group;
    let example =
        example.parse().map_err(|_| StoreError::Schema(format!("the id {example} of a job is no UUID")))?;
    let jobs = jobs.unsigned_abs();
    let new = CauseRecord { fingerprint: fingerprint.clone(), jobs: 0, first, last, example, error: None };
    let cause = causes.entry(fingerprint).or_insert(new);
    cause.jobs += jobs;
    (cause.first, cause.last) = (cause.first.min(first), cause.last.max(last));
    Ok(())
}
