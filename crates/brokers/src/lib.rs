//! Adapters of the broker port, one folder each with the same file names.
//!
//! Each folder's `mod.rs` says what maps to what and which capabilities are real; nothing here reads the
//! environment or files: configuration comes in as values.

mod batcher;
pub mod embedded;
mod ledger;
pub mod postgres;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;

pub use ledger::LedgerBroker;

use backshift_store::{Database, SqlStore};

/// The queue that a store's own database is.
pub fn of_store(store: SqlStore) -> LedgerBroker {
    let name = match store.database() {
        Database::Pg(_) => postgres::NAME,
        Database::Sqlite(_) => embedded::NAME,
    };
    LedgerBroker::new(name, store)
}
