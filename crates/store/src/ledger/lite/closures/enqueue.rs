//! Accepting jobs on SQLite: one prepared INSERT, run once a job.

use backshift_core::{StoreError, Timestamp};
use rusqlite::{Connection, params};

use super::IdText;
use crate::{
    ledger::{
        entry::{Entry, bounded, failures, policy},
        lite::statements::INSERT,
    },
    sqlite::fault,
};

/// Inserts what does not collide with another job; one answer each, in order: whether it was inserted.
pub(crate) fn insert_on<'e>(
    connection: &Connection,
    broker: &str,
    entries: impl Iterator<Item = &'e Entry>,
) -> Result<Vec<bool>, StoreError> {
    let mut insert = connection.prepare_cached(INSERT).map_err(fault)?;
    let now = Timestamp::now().as_microsecond();
    let mut inserted = Vec::new();
    // The place in the batch breaks ties.
    for (entry, at) in entries.zip(now..) {
        let e = &entry.envelope;
        let due = e.run_at.map(|at| at.as_microsecond()).filter(|due| *due > now);
        let values = params![
            IdText::new(e.id.0),
            e.user_id.map(IdText::new),
            e.kind.as_str(),
            if due.is_some() { "scheduled" } else { "available" },
            at,
            now,
            e.queue.as_str(),
            broker,
            &e.payload[..],
            &entry.hash[..],
            e.payload.len() as i64,
            entry.headers,
            e.is_sensitive(),
            e.priority,
            e.max_attempts.map(bounded),
            failures(e),
            due.unwrap_or(at),
            e.unique.as_ref().map(|unique| &unique.key),
            e.unique.as_ref().map(policy),
            e.idempotency_key,
        ];
        inserted.push(insert.execute(values).map_err(fault)? == 1);
    }
    Ok(inserted)
}
