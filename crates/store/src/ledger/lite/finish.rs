//! Completions on SQLite: one prepared UPDATE, run once a job.

use backshift_core::{JobId, StoreError, Timestamp};
use rusqlite::{Connection, params};

use super::IdText;
use crate::{
    ledger::{large::large_abroad, outcome::Outcome},
    sqlite::fault,
};

/// `?1` job, `?2` token, `?3` output, `?4` note, `?5` now.
pub(crate) const COMPLETE: &str = concat!(
    "UPDATE background_jobs SET status = 'completed', finished_at = ?5, \
     updated_at = ?5, error_message = NULL, error_fingerprint = NULL, output = ?3, note = ?4, \
     payload = CASE WHEN sensitive OR (",
    large_abroad!(sqlite),
    ") THEN NULL ELSE payload END \
     WHERE id = ?1 AND token = ?2 AND status = 'running'"
);

/// Returns the jobs whose completion was written.
pub(crate) fn complete_on(connection: &Connection, outcomes: &[Outcome]) -> Result<Vec<JobId>, StoreError> {
    let mut complete = connection.prepare_cached(COMPLETE).map_err(fault)?;
    let now = Timestamp::now().as_microsecond();
    let mut written = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let lease = outcome.lease;
        let values =
            params![IdText::new(lease.job.0), lease.token.0, outcome.output.as_deref(), outcome.note, now];
        if complete.execute(values).map_err(fault)? == 1 {
            written.push(lease.job);
        }
    }
    Ok(written)
}
