//! The list for a person who waits for it: a bounded number of jobs is looked at, whatever is searched for.
//!
//! First it is settled where the looking ends, by a walk through an index alone; then the rows up to there are read in
//! order until the page is full. What waits or runs is found through what holds it, not among the newest jobs.

use backshift_core::{
    EffectState, JobFilter, Page, Standing, State, StoreError,
    record::{Found, Looked},
};

use super::{
    job_row::job_columns,
    list::{
        ORDER, Place, begin, between, effect_literal, limit, list, narrowed, rows, said, stands,
        state_literal, text,
    },
};
use crate::{Database, Dialect, Durability, Executor, by_index::by_index};

/// Jobs that are looked at: when columns are compared, when errors are read, when payloads are read.
const COMPARED: u32 = 30_000;
const ERRORS_READ: u32 = 20_000;
const PAYLOADS_READ: u32 = 5_000;
/// So many jobs that wait or run are looked at one by one; [`held`] repeats it, one higher.
const FEW: i64 = 5_000;

/// One page, and how far it looked.
pub(crate) async fn search(db: &Database, filter: &JobFilter, page: &Page) -> Result<Found, StoreError> {
    match db.dialect() {
        Dialect::Sqlite => search_on(db, filter, page).await,
        // Whatever its statistics say, no plan reads the table.
        Dialect::Postgres => {
            let tx = by_index(db, Durability::Relaxed).await?;
            let found = search_on(&tx, filter, page).await?;
            tx.rollback().await?;
            Ok(found)
        }
    }
}

async fn search_on(on: &impl Executor, filter: &JobFilter, page: &Page) -> Result<Found, StoreError> {
    let dialect = on.dialect();
    let times = JobFilter { since: filter.since, until: filter.until, ..JobFilter::default() };
    let everything = |jobs| Found { jobs, looked: None };
    if *filter == times {
        return list(on, filter, page).await.map(everything);
    }
    let begin = begin(on, page).await?;
    let reads_texts = !(filter.words.is_empty() && filter.error.is_empty() && filter.payload.is_empty());
    if let Some(held) = held_of(dialect, filter)
        && !reads_texts
        && on.text(up_to(held)).bind(FEW + 1).one::<i64>().await? <= FEW
    {
        let some = on.text(among(dialect, filter, held));
        return rows(on, narrowed(between(some, begin, None), dialect, filter), page, sorted(dialect))
            .await
            .map(everything);
    }
    let end = end(on, filter, begin).await?;
    let statement = match filter.state {
        Some(State::Dead | State::Cancelled) => text(dialect, filter.state, filter.effect),
        _ => plain(dialect, filter),
    };
    let query = said(narrowed(between(on.text(statement), begin, end), dialect, filter), dialect, filter);
    let jobs = rows(on, query, page, order(dialect, filter)).await?;
    let looked = end.filter(|_| jobs.len() < limit(page) as usize);
    let looked = looked.map(|(back_to, last)| Looked { jobs: looked_at(filter), last, back_to });
    Ok(Found { jobs, looked })
}

/// The oldest job that is looked at; `None` = all are.
pub(crate) async fn end(
    on: &impl Executor,
    filter: &JobFilter,
    begin: Option<Place>,
) -> Result<Option<Place>, StoreError> {
    let narrow = match (filter.user, filter.effect, filter.state, on.dialect()) {
        (Some(_), ..) => "",
        (None, Some(EffectState::Intended | EffectState::Ambiguous), ..) => {
            " AND effect IN ('intended', 'ambiguous')"
        }
        (None, _, Some(State::Dead | State::Cancelled), Dialect::Postgres) => " AND kept IS NOT NULL",
        (None, _, Some(State::Dead | State::Cancelled), Dialect::Sqlite) => {
            " AND status IN ('dead', 'cancelled')"
        }
        _ => "",
    };
    let query = on.text(format!("SELECT created_at, id FROM background_jobs WHERE true{narrow}"));
    let query = between(query, begin, None).and("user_id =", filter.user);
    let query = query.and("created_at >=", filter.since).and("created_at <", filter.until);
    let order = " ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ";
    query.push(order).push_bind(i64::from(looked_at(filter)) - 1).optional::<Place>().await
}

/// How many jobs are looked at.
fn looked_at(filter: &JobFilter) -> u32 {
    match (filter.words.is_empty() && filter.payload.is_empty(), filter.error.is_empty()) {
        (true, true) => COMPARED,
        (true, false) => ERRORS_READ,
        (false, _) => PAYLOADS_READ,
    }
}

/// The statement without what finds a state elsewhere than in the order of the page.
fn plain(dialect: Dialect, filter: &JobFilter) -> String {
    format!("SELECT {} FROM background_jobs WHERE true{}", job_columns(dialect), literals(dialect, filter))
}

/// The same among these few ids. PostgreSQL looks each one up, whatever its statistics say about the table.
fn among(dialect: Dialect, filter: &JobFilter, held: &str) -> String {
    let (columns, literals) = (job_columns(dialect), literals(dialect, filter));
    match dialect {
        Dialect::Postgres => format!(
            "SELECT {columns} FROM (SELECT DISTINCT id AS held FROM ({held}) some_jobs) h \
             CROSS JOIN LATERAL (SELECT * FROM background_jobs j WHERE j.id = h.held OFFSET 0) background_jobs \
             WHERE true{literals}"
        ),
        Dialect::Sqlite => {
            format!("SELECT {columns} FROM background_jobs WHERE id IN ({held}){literals}")
        }
    }
}

fn literals(dialect: Dialect, filter: &JobFilter) -> String {
    let state = filter.state.map_or(String::new(), |state| state_literal(dialect, state));
    state + &effect_literal(filter.effect)
}

/// The order of a window that [`end`] bounds. In the order of the list's index the jobs of one user are looked for among
/// everybody's.
pub(crate) fn order(dialect: Dialect, filter: &JobFilter) -> &'static str {
    if filter.user.is_some() { sorted(dialect) } else { ORDER }
}

/// A page's order that no index gives: the few rows are found first and sorted then.
fn sorted(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => " ORDER BY created_at + interval '0 seconds' DESC, id DESC LIMIT ",
        Dialect::Sqlite => " ORDER BY +created_at DESC, +id DESC LIMIT ",
    }
}

/// What is sent for a state that jobs leave again, up to its optional filters.
pub(crate) fn texts(dialect: Dialect, state: State) -> Vec<String> {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    let mut texts: Vec<String> = held(dialect, state)
        .map(|held| {
            vec![
                up_to(held),
                among(dialect, &filter, held),
                format!("{}) some_jobs", counted(dialect, &filter, held)),
            ]
        })
        .unwrap_or_default();
    if state == State::Available {
        let aside = parked(dialect);
        let narrow = stands(dialect, Standing::Parked);
        texts.extend(Standing::ALL.map(|standing| plain(dialect, &filter) + stands(dialect, standing)));
        texts.extend([up_to(aside), among(dialect, &filter, aside) + narrow]);
        texts.push(format!("{}{narrow}) some_jobs", counted(dialect, &filter, aside)));
    }
    texts
}

/// The ids among which all jobs of a filter are, when they are of a sort that jobs leave again.
fn held_of(dialect: Dialect, filter: &JobFilter) -> Option<&'static str> {
    match (filter.state, filter.standing) {
        (_, Some(Standing::Parked)) => Some(parked(dialect)),
        (state, _) => state.and_then(|state| held(dialect, state)),
    }
}

/// The ids among which all parked jobs are: those that were put aside, and of foreign brokers all that are unfinished. None of
/// an SQL broker is parked for a time.
fn parked(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "SELECT id FROM job_line WHERE ready AND NOT alone AND aside IS NOT NULL \
             UNION ALL SELECT id FROM job_line WHERE ready AND alone AND aside IS NOT NULL \
             UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL ORDER BY abroad LIMIT 5001)"
        }
        Dialect::Sqlite => {
            "SELECT id FROM background_jobs WHERE aside IS NOT NULL AND status = 'available' \
             AND broker = 'embedded' AND crashes < 3 \
             UNION ALL SELECT id FROM background_jobs WHERE crashes >= 3 AND status = 'available' \
             AND broker = 'embedded' AND aside IS NOT NULL \
             UNION ALL SELECT id FROM background_jobs WHERE broker <> 'embedded' \
             AND status IN ('scheduled', 'available', 'retrying')"
        }
    }
}

/// How many ids that is, up to `$1`.
fn up_to(held: &str) -> String {
    format!("SELECT COUNT(*) FROM (SELECT id FROM ({held}) held LIMIT $1) some_jobs")
}

/// How many match of jobs that wait or run, up to `most`; `None` = there are too many to look at each one.
pub(crate) async fn few(
    on: &impl Executor,
    filter: &JobFilter,
    most: i64,
) -> Result<Option<i64>, StoreError> {
    let dialect = on.dialect();
    let Some(held) = held_of(dialect, filter) else { return Ok(None) };
    if on.text(up_to(held)).bind(FEW + 1).one::<i64>().await? > FEW {
        return Ok(None);
    }
    let query = narrowed(on.text(counted(dialect, filter, held)), dialect, filter);
    said(query, dialect, filter).push(" LIMIT ").push_bind(most + 1).push(") some_jobs").one().await.map(Some)
}

/// The number of those that match among these few ids, up to its optional filters and its end.
fn counted(dialect: Dialect, filter: &JobFilter, held: &str) -> String {
    format!("SELECT COUNT(*) FROM ({}", among(dialect, filter, held))
}

/// The ids among which all jobs of such a state are, when it is one that jobs leave again. Those of foreign brokers have a
/// bound and an order of their own: without them PostgreSQL reads the whole table when it has no statistics.
fn held(dialect: Dialect, state: State) -> Option<&'static str> {
    Some(match (dialect, state) {
        (_, State::Completed | State::Dead | State::Cancelled) => return None,
        (Dialect::Postgres, State::Running) => {
            "SELECT u.job AS id FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs) AS u(job) \
             UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL ORDER BY abroad LIMIT 5001)"
        }
        (Dialect::Postgres, State::Available) => {
            "SELECT id FROM job_line WHERE ready \
             UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL ORDER BY abroad LIMIT 5001)"
        }
        (Dialect::Postgres, _) => {
            "SELECT id FROM job_line WHERE NOT ready \
             UNION ALL (SELECT id FROM background_jobs WHERE abroad IS NOT NULL ORDER BY abroad LIMIT 5001)"
        }
        (Dialect::Sqlite, State::Running) => "SELECT id FROM background_jobs WHERE status = 'running'",
        (Dialect::Sqlite, State::Available) => {
            "SELECT id FROM background_jobs WHERE status = 'available' AND broker = 'embedded' AND crashes < 3 \
             AND aside IS NULL \
             UNION ALL SELECT id FROM background_jobs WHERE aside IS NOT NULL AND status = 'available' \
             AND broker = 'embedded' AND crashes < 3 \
             UNION ALL SELECT id FROM background_jobs WHERE crashes >= 3 AND status = 'available' \
             AND broker = 'embedded' \
             UNION ALL SELECT id FROM background_jobs WHERE broker <> 'embedded' \
             AND status IN ('scheduled', 'available', 'retrying')"
        }
        (Dialect::Sqlite, _) => {
            "SELECT id FROM background_jobs WHERE status IN ('scheduled', 'retrying') AND broker = 'embedded' \
             UNION ALL SELECT id FROM background_jobs WHERE broker <> 'embedded' \
             AND status IN ('scheduled', 'available', 'retrying')"
        }
    })
}
