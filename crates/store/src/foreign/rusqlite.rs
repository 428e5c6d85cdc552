//! A transaction of rusqlite: synchronous and not `Send`, so it has functions of its own.
//!
//! `rusqlite::Transaction` dereferences to `Connection`: pass `&tx`.

use backshift_core::{BrokerName, Envelope, JobContext, StoreError};
use rusqlite::Connection;

use super::{belongs, encode, enqueue_statement};
use crate::{Dialect, Sql, Value, ledger::foreign::FINISH_JSON, sqlite::run};

/// Accepts jobs inside the connection's open transaction; how many are new.
pub fn enqueue_with(
    connection: &Connection,
    broker: BrokerName,
    jobs: &[Envelope],
) -> Result<u64, StoreError> {
    belongs(broker, Dialect::Sqlite)?;
    if jobs.is_empty() {
        return Ok(0);
    }
    let (sql, argument) = enqueue_statement(broker, jobs);
    execute(connection, sql, argument)
}

/// Completes the running job inside the connection's open transaction.
///
/// # Errors
/// `Stale` when another worker holds the job by now: roll the transaction back. `Rejected` without a store.
pub fn finish_with(connection: &Connection, job: &JobContext) -> Result<(), StoreError> {
    let lease = job.lease().ok_or_else(|| {
        StoreError::Rejected("finish_with needs a pool with a store: without one there is no lease".into())
    })?;
    match execute(connection, FINISH_JSON, encode::completion(&lease, Some(&job.said())))? {
        1 => {
            job.finished_in_transaction();
            Ok(())
        }
        _ => Err(StoreError::Stale),
    }
}

fn execute(connection: &Connection, sql: Sql, argument: String) -> Result<u64, StoreError> {
    run(connection, sql.sqlite, &[Value::from(argument)])
}
