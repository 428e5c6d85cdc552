//! Real servers of one run: private data, private ports, and nobody minds when they are killed.
//!
//! The shared test servers of `cargo xtask services` are never touched. Everything ends with its value, also after a
//! panic; the data go with it.

mod family;
mod place;
mod postgres;
mod rabbitmq;
mod server;

pub use postgres::Door;
pub use server::{PrivateServer, ServerKind};
