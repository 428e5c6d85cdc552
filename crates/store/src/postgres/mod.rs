//! PostgreSQL through tokio-postgres: typed, unnamed statements, one round trip each, on every pooler.
//!
//! Nothing here may name a prepared statement or set a session value unless the access is direct.

mod address;
mod fault;
mod pool;
mod session;
mod tls;
mod tx;

#[cfg(feature = "sqlx")]
pub(crate) use fault::by_code;
pub(crate) use fault::store_error;
pub use pool::{Access, Pg};
pub(crate) use session::Session;
pub use tx::PgTx;
