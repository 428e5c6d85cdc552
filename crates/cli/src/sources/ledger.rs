//! The SQL brokers: their queue is the ledger of the store's own database.

use std::sync::Arc;

use backshift_core::Broker;
use backshift_store::SqlStore;

/// The beginnings of their URLs.
pub(crate) use backshift_store::SCHEMES;

/// The broker of this store's database.
pub(crate) fn open(store: &Arc<SqlStore>) -> Arc<dyn Broker> {
    Arc::new(backshift_brokers::of_store(SqlStore::clone(store)))
}
