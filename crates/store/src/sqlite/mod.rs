//! SQLite through rusqlite: one writer thread with group commit, readers beside it.
//!
//! Closures on the writer thread may run more than once: when a group cannot be committed as a whole, each of
//! its commands is tried alone.

mod batch;
mod connection;
mod fault;
mod place;
mod readers;
mod statement;
mod store;
mod tx;
mod value;
mod writer;

#[cfg(feature = "sqlx")]
pub(crate) use fault::by_code;
pub use fault::fault;
pub use rusqlite::Connection;
pub(crate) use statement::script;
pub use statement::{query, run};
pub use store::{Sqlite, WriterStats, path_of};
pub use tx::SqliteTx;
pub(crate) use value::LiteRow;
