//! Pages of jobs, newest first, stable while rows arrive.
//!
//! The text of a statement is put together from fixed words: a state or an effect is a literal, because a
//! parameter would not match a partial index.

use std::fmt::Write as _;

use backshift_core::{EffectState, JobFilter, JobRecord, Page, State, StoreError, Timestamp};

use super::job_row::{JobRow, job_columns};
use crate::{Database, Dialect, Executor};

/// The longest page.
const LONGEST_PAGE: u32 = 500;

/// Where a page begins.
pub(crate) const CURSOR: &str = "SELECT created_at FROM background_jobs WHERE id = $1";

/// One page in the order `(created_at, id)` descending.
pub(crate) async fn list(
    db: &Database,
    filter: &JobFilter,
    page: &Page,
) -> Result<Vec<JobRecord>, StoreError> {
    let text = text(db.dialect(), filter.state, filter.effect);
    let mut query =
        db.text(text).and("job_type =", filter.kind.as_ref()).and("queue =", filter.queue.as_ref());
    if let Some(after) = page.after {
        let at = db.sql(CURSOR).bind(after).optional::<Timestamp>().await?;
        let at = at
            .ok_or_else(|| StoreError::NotFound(format!("job {after}, after which the page should begin")))?;
        query = query.push(" AND (created_at, id) < (").push_bind(at).push(", ").push_bind(after).push(")");
    }
    let limit = i64::from(page.limit.clamp(1, LONGEST_PAGE));
    let rows =
        query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(limit).all::<JobRow>().await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}

/// The statement up to its optional filters.
pub(crate) fn text(dialect: Dialect, state: Option<State>, effect: Option<EffectState>) -> String {
    let mut text = format!("SELECT {} FROM background_jobs WHERE true", job_columns(dialect));
    if let Some(state) = state {
        let _ = write!(text, " AND status = '{}'", state.as_str());
        text.push_str(found_by(dialect, state));
    }
    if let Some(effect) = effect {
        let _ = write!(text, " AND effect = '{}'", effect.as_str());
    }
    text
}

/// What lets PostgreSQL find the few jobs of such a state among many that are completed.
fn found_by(dialect: Dialect, state: State) -> &'static str {
    match (dialect, state) {
        (Dialect::Postgres, State::Dead | State::Cancelled) => " AND kept",
        (Dialect::Postgres, State::Running) => {
            " AND id IN (SELECT u.job FROM job_hands h CROSS JOIN LATERAL unnest(h.jobs) AS u(job) \
             UNION ALL SELECT id FROM background_jobs WHERE abroad IS NOT NULL)"
        }
        _ => "",
    }
}
