//! PostgreSQL through tokio-postgres: typed, unnamed statements, one round trip each, on every pooler.
//!
//! Nothing here may name a prepared statement or set a session value unless the access is direct.

mod address;
mod connector;
mod fault;
mod parameters;
mod pool;
mod refusal;
mod requests;
mod schema;
mod session;
mod tls;
mod tx;
mod value;
mod ways;

#[cfg(feature = "sqlx")]
pub(crate) use fault::by_code;
pub(crate) use fault::store_error;
pub use pool::Pg;
pub(crate) use session::Session;
pub use tx::PgTx;
pub(crate) use value::PgRow;
