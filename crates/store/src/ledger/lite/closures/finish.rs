//! Completions on SQLite: one prepared UPDATE, run once a job.

use backshift_core::{JobId, StoreError, Timestamp};
use rusqlite::{Connection, params};

use super::IdText;
use crate::{
    ledger::{lite::statements::COMPLETE, outcome::Outcome},
    sqlite::fault,
};

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
