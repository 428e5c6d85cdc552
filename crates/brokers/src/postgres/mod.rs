//! PostgreSQL as the queue (Supabase included): the ledger's own rows.
//!
//! | here | there |
//! |---|---|
//! | queue | rows of `background_jobs` with that name |
//! | publish | one INSERT from arrays, many callers in one statement |
//! | delivery | a row under a lease, claimed with `SKIP LOCKED` in batches as large as the free slots |
//! | ack, retry, dead letter | one UPDATE from arrays, token-checked |
//! | delay, priority | `run_at`, `priority` |
//! | wake-up | `NOTIFY` as a hint after the commit, and a poll; behind a transaction pooler the poll alone |
//! | a killed worker | its session lock is free, so its jobs come back at once; behind a pooler when the lease ends |
//!
//! Every statement is unnamed and typed, so it passes every pooler in one round trip.

use backshift_core::BrokerError;
use backshift_store::{Database, SqlStore};

use crate::ledger::LedgerBroker;

/// The name in the ledger's `broker` column; the partial indexes spell it out.
pub const NAME: &str = "postgres";

/// The PostgreSQL queue over a store whose schema is in place. Needs a tokio runtime.
pub fn broker(store: SqlStore) -> Result<LedgerBroker, BrokerError> {
    match store.database() {
        Database::Pg(_) => Ok(LedgerBroker::new(NAME, store)),
        Database::Sqlite(_) => {
            let problem = "the postgres queue needs a server; use the embedded broker for a SQLite file";
            Err(BrokerError::Rejected { broker: NAME, problem: problem.into() })
        }
    }
}
