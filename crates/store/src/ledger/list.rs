//! Pages of jobs, newest first, stable while rows arrive.
//!
//! The text of a statement is put together from fixed words: a state or an effect is a literal, because a
//! parameter would not match a partial index. [`search`](super::search) is the same with a bound.

use std::fmt::Write as _;

use backshift_core::{
    EffectState, JobFilter, JobId, JobRecord, Page, Standing, State, StoreError, Timestamp,
    record::PAYLOAD_SEARCHED,
};

use super::job_row::{JobRow, job_columns};
use super::taken::{self, taken};
use crate::{Dialect, Executor, query::Query};

/// The longest page.
const LONGEST_PAGE: u32 = 500;

/// Where a page begins.
pub(crate) const CURSOR: &str = "SELECT created_at FROM background_jobs WHERE id = $1";

/// Newest first.
pub(crate) const ORDER: &str = " ORDER BY created_at DESC, id DESC LIMIT ";

/// A place in the order.
pub(crate) type Place = (Timestamp, JobId);

/// One page in the order `(created_at, id)` descending.
pub(crate) async fn list(
    on: &impl Executor,
    filter: &JobFilter,
    page: &Page,
) -> Result<Vec<JobRecord>, StoreError> {
    let begin = begin(on, page).await?;
    let query = on.text(text(on.dialect(), filter.state, filter.effect));
    let query = said(narrowed(between(query, begin, None), on.dialect(), filter), on.dialect(), filter);
    rows(on, query, page, ORDER).await
}

/// The place of the row after which the page begins.
pub(super) async fn begin(on: &impl Executor, page: &Page) -> Result<Option<Place>, StoreError> {
    let Some(after) = page.after else { return Ok(None) };
    match on.sql(CURSOR).bind(after).optional::<Timestamp>().await? {
        Some(at) => Ok(Some((at, after))),
        None => Err(StoreError::NotFound(format!("job {after}, after which the page should begin"))),
    }
}

/// The page's rows.
pub(super) async fn rows(
    on: &impl Executor,
    query: Query<'_>,
    page: &Page,
    order: &str,
) -> Result<Vec<JobRecord>, StoreError> {
    let limit = i64::from(limit(page));
    let rows = query.push(order).push_bind(limit).all::<JobRow>().await?;
    let mut jobs: Vec<JobRecord> = rows.into_iter().map(|row| row.0).collect();
    taken::told(on, &mut jobs).await?;
    Ok(jobs)
}

/// How many rows a page really has.
pub(super) fn limit(page: &Page) -> u32 {
    page.limit.clamp(1, LONGEST_PAGE)
}

/// The statement up to its optional filters.
pub(crate) fn text(dialect: Dialect, state: Option<State>, effect: Option<EffectState>) -> String {
    format!(
        "SELECT {} FROM background_jobs WHERE true{}",
        job_columns(dialect),
        literals(dialect, state, effect)
    )
}

/// State and effect, and what lets a database find the few jobs that have them among many that are completed.
pub(crate) fn literals(dialect: Dialect, state: Option<State>, effect: Option<EffectState>) -> String {
    let mut text = String::new();
    if let Some(state) = state {
        text.push_str(&state_literal(dialect, state));
        text.push_str(found_by(dialect, state));
    }
    text + &effect_literal(effect)
}

/// Rows of this state. What a claim of PostgreSQL's took waits by its own words.
pub(crate) fn state_literal(dialect: Dialect, state: State) -> String {
    match (dialect, state) {
        (Dialect::Postgres, State::Running) => {
            concat!(" AND (status = 'running' OR ", taken!(), ")").to_owned()
        }
        (Dialect::Postgres, State::Available) => {
            concat!(" AND status = 'available' AND NOT ", taken!()).to_owned()
        }
        _ => format!(" AND status = '{}'", state.as_str()),
    }
}

/// What an effect is found by.
pub(super) fn effect_literal(effect: Option<EffectState>) -> String {
    let mut text = String::new();
    if let Some(effect) = effect {
        let _ = write!(text, " AND effect = '{}'", effect.as_str());
        if matches!(effect, EffectState::Intended | EffectState::Ambiguous) {
            text.push_str(" AND effect IN ('intended', 'ambiguous')");
        }
    }
    text
}

fn found_by(dialect: Dialect, state: State) -> &'static str {
    match (dialect, state) {
        (Dialect::Postgres, State::Dead | State::Cancelled) => " AND kept IS NOT NULL",
        (Dialect::Sqlite, State::Dead | State::Cancelled) => " AND status IN ('dead', 'cancelled')",
        (Dialect::Postgres, State::Running) => {
            " AND id IN (SELECT u.job FROM job_claims h CROSS JOIN LATERAL unnest(h.jobs) AS u(job) \
             UNION ALL SELECT id FROM background_jobs WHERE abroad IS NOT NULL)"
        }
        _ => "",
    }
}

/// Only rows after this place, and not beyond that one.
pub(crate) fn between(query: Query<'_>, begin: Option<Place>, end: Option<Place>) -> Query<'_> {
    let query = match begin {
        Some((at, id)) => {
            query.push(" AND (created_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")")
        }
        None => query,
    };
    match end {
        Some((at, id)) => {
            query.push(" AND (created_at, id) >= (").push_bind(at).push(", ").push_bind(id).push(")")
        }
        None => query,
    }
}

/// The filters that compare a column.
pub(crate) fn narrowed<'a>(query: Query<'a>, dialect: Dialect, filter: &JobFilter) -> Query<'a> {
    query
        .push(filter.standing.map_or("", |standing| stands(dialect, standing)))
        .and("job_type =", filter.kind.as_ref())
        .and("queue =", filter.queue.as_ref())
        .and("user_id =", filter.user)
        .and("error_fingerprint =", filter.cause.as_deref())
        .and("created_at >=", filter.since)
        .and("created_at <", filter.until)
}

/// What a record is told to be by [`standing`](JobRecord::standing).
pub(super) fn stands(dialect: Dialect, standing: Standing) -> &'static str {
    match (standing, dialect) {
        (Standing::Parked, Dialect::Postgres) => {
            " AND (status = 'available' OR status = 'scheduled') AND (reason = 'unknown-kind' \
             OR (status = 'available' AND broker = 'postgres' \
             AND EXISTS (SELECT 1 FROM job_line l WHERE l.id = background_jobs.id AND l.aside IS NOT NULL)))"
        }
        (Standing::Parked, Dialect::Sqlite) => {
            " AND (status = 'available' OR status = 'scheduled') AND (reason = 'unknown-kind' \
             OR (status = 'available' AND broker = 'embedded' AND aside IS NOT NULL))"
        }
        (Standing::Held, _) => {
            " AND status = 'scheduled' AND token > 0 AND COALESCE(reason, '') <> 'unknown-kind'"
        }
    }
}

/// The filters that look into texts. Both sides become small letters where the text is, by its own rules.
pub(crate) fn said<'a>(mut query: Query<'a>, dialect: Dialect, filter: &JobFilter) -> Query<'a> {
    const ALL: &str = "COALESCE(job_type, '') || ' ' || COALESCE(queue, '') || ' ' || ";
    for word in &filter.words {
        query = within(query.push(" AND ("), dialect, &format!("{ALL}{SAID}"), word).push(" OR ");
        query = in_payload(query, dialect, word).push(")");
    }
    for word in &filter.error {
        query = within(query.push(" AND "), dialect, SAID, word);
    }
    for word in &filter.payload {
        query = in_payload(query.push(" AND "), dialect, word);
    }
    query
}

/// The reason of a parked job is not shown, so nobody looks for it.
const SAID: &str = "COALESCE(error_message, '') || ' ' || COALESCE(NULLIF(reason, 'unknown-kind'), '') || ' ' \
     || COALESCE(note, '')";

fn within<'a>(query: Query<'a>, dialect: Dialect, text: &str, word: &str) -> Query<'a> {
    let find = match dialect {
        Dialect::Postgres => "strpos",
        Dialect::Sqlite => "instr",
    };
    query.push(&format!("{find}(lower({text}), lower(CAST(")).push_bind(word).push(" AS text))) > 0")
}

/// PostgreSQL reads bytes that are no UTF-8 as text in one way only, and then the word must be written in it too.
fn in_payload<'a>(query: Query<'a>, dialect: Dialect, word: &str) -> Query<'a> {
    let (text, word) = match dialect {
        Dialect::Postgres => {
            (format!("encode(substr(payload, 1, {PAYLOAD_SEARCHED}), 'escape')"), escaped(word))
        }
        Dialect::Sqlite => (format!("CAST(substr(payload, 1, {PAYLOAD_SEARCHED}) AS TEXT)"), word.to_owned()),
    };
    let query = query.push("(NOT sensitive AND payload IS NOT NULL AND length(payload) = payload_size AND ");
    within(query, dialect, &text, &word).push(")")
}

/// As `encode(…, 'escape')` writes it.
fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0 | 0x80.. => {
                let _ = write!(text, "\\{byte:03o}");
            }
            plain => text.push(char::from(plain)),
        }
    }
    text
}
