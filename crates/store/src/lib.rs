//! The database: PostgreSQL in production, SQLite embedded, behind one [`Database`].
//!
//! SQL is written by hand, one text for both where they agree; `$1` means the same on both, times are integer
//! microseconds and ids are text in SQLite.

pub mod check;
mod db;
pub mod foreign;
pub mod ledger;
pub mod liveness;
pub mod migrate;
pub mod notify;
pub mod postgres;
mod query;
mod row;
pub mod sqlite;
mod table;
mod value;

pub use db::{Database, Dialect, Options, Tx};
pub use postgres::Access;
pub use query::{Durability, Executor, Query, Sql};
pub use row::{Cell, FromRow, RawCell, Row};
pub use value::{Column, Value};

pub use backshift_core::StoreError;
pub use uuid::Uuid;
