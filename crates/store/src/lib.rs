//! The database: PostgreSQL in production, SQLite embedded, behind one [`Database`].
//!
//! SQL is written by hand, one text for both where they agree; `$1` means the same on both, times are integer
//! microseconds and ids are text in SQLite.
//!
//! Each is a feature: `embedded` (SQLite, on by default; needs a C compiler) and `postgres`. A database whose feature is off
//! cannot be opened, and its error names the feature.

// What one database alone needs is dead without it; the build with both says what is dead in truth.
#![cfg_attr(not(all(feature = "embedded", feature = "postgres")), allow(dead_code))]

#[cfg(not(unix))]
compile_error!(
    "backshift runs on Linux and other Unix systems: signs of life and rights of files are theirs"
);

#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "only its refusals are tested, and here nobody sees them")]
mod absent;
mod allowances;
mod breakers;
mod by_index;
pub mod check;
mod counts;
mod database_clock;
mod db;
mod effects;
pub mod foreign;
mod inode;
pub mod ledger;
mod limits;
pub mod liveness;
pub mod migrate;
pub mod notify;
mod outbox;
#[cfg_attr(not(feature = "postgres"), path = "absent/postgres.rs")]
pub mod postgres;
mod query;
mod queues;
mod raw_cell;
mod remedy;
pub mod retention;
mod row;
mod schedules;
mod sql_store;
#[cfg_attr(not(feature = "embedded"), path = "absent/sqlite.rs")]
pub mod sqlite;
mod sweep;
mod table;
mod value;
mod workers;

pub use db::{Access, Database, Dialect, Options, SCHEMES, Tx};
pub use query::{Durability, Executor, Query, Sql};
pub use raw_cell::RawCell;
pub use row::{Cell, FromRow, Row};
pub use sql_store::SqlStore;
pub use sweep::HandsRetention;
pub use value::{Column, Value};

pub use backshift_core::StoreError;
pub use uuid::Uuid;
