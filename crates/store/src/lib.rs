//! The database: PostgreSQL in production, SQLite embedded, behind one [`Database`].
//!
//! SQL is written by hand, one text for both where they agree; `$1` means the same on both, times are integer
//! microseconds and ids are text in SQLite.

#[cfg(not(unix))]
compile_error!(
    "backshift runs on Linux and other Unix systems: signs of life and rights of files are theirs"
);

mod allowances;
mod breakers;
mod by_index;
pub mod check;
mod counts;
mod database_clock;
mod db;
mod effects;
pub mod foreign;
pub mod ledger;
mod limits;
pub mod liveness;
pub mod migrate;
pub mod notify;
mod outbox;
pub mod postgres;
mod query;
mod queues;
mod remedy;
pub mod retention;
mod row;
mod schedules;
mod sql_store;
pub mod sqlite;
mod sweep;
mod table;
mod value;
mod workers;

pub use db::{Database, Dialect, Options, SCHEMES, Tx};
pub use postgres::Access;
pub use query::{Durability, Executor, Query, Sql};
pub use row::{Cell, FromRow, RawCell, Row};
pub use sql_store::SqlStore;
pub use sweep::HandsRetention;
pub use value::{Column, Value};

pub use backshift_core::StoreError;
pub use uuid::Uuid;
