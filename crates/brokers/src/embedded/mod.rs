//! The embedded queue: a SQLite file, no server at all.
//!
//! | here | there |
//! |---|---|
//! | queue | rows of `background_jobs` with that name |
//! | publish | one INSERT, many callers in one commit, fsynced before the answer |
//! | delivery | a row under a lease, claimed in batches as large as the free slots |
//! | ack, retry, dead letter | the row's state, many in one commit |
//! | delay, priority | `run_at`, `priority` |
//! | wake-up | in the process at once; from other processes within 25 ms |
//! | a killed worker | its locked file is free, so its jobs come back at once |
//!
//! Several processes may share the file; SQLite has one writer at a time, so they take turns.

use backshift_core::BrokerError;
use backshift_store::{Database, SqlStore};

use crate::ledger::LedgerBroker;

/// The name in the ledger's `broker` column; the partial indexes spell it out.
pub const NAME: &str = "embedded";

/// The embedded queue over a store on a SQLite file whose schema is in place. Needs a tokio runtime.
pub fn broker(store: SqlStore) -> Result<LedgerBroker, BrokerError> {
    match store.database() {
        Database::Sqlite(_) => Ok(LedgerBroker::new(NAME, store)),
        Database::Pg(_) => {
            let problem = "the embedded queue needs a SQLite file; use the postgres broker for a server";
            Err(BrokerError::Rejected { broker: NAME, problem: problem.into() })
        }
    }
}
