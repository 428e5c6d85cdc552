//! The SQL brokers: their queue is the ledger of the store's own database.

use std::sync::Arc;

use backshift_brokers::{embedded, postgres};
use backshift_core::Broker;
use backshift_store::{Database, SqlStore};

use crate::exit::Failure;

/// The beginnings of their URLs.
pub(crate) const SCHEMES: [&str; 4] = ["embedded", "sqlite", "postgres", "postgresql"];

/// The broker of this store's database.
pub(crate) fn open(store: &Arc<SqlStore>) -> Result<Arc<dyn Broker>, Failure> {
    let broker = match store.database() {
        Database::Pg(_) => postgres::broker(SqlStore::clone(store)),
        Database::Sqlite(_) => embedded::broker(SqlStore::clone(store)),
    };
    Ok(Arc::new(broker.map_err(Failure::configuration)?))
}
