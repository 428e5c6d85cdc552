//! Recipes of real servers: how each one is installed, given its data, started, asked who it is, and stopped.
//!
//! Nothing here runs a server. `cargo xtask services` starts servers that outlive it, and testkit starts private ones
//! that tests kill: both by the same [`Service`]. A new server is one file here and one line in [`catalog`].

pub mod account;
pub mod catalog;
pub mod command;
pub mod mirror;
mod nats;
mod pgbouncer;
pub mod ports;
mod postgres;
pub mod process;
pub mod programs;
mod rabbitmq;
mod redis;
mod service;
mod site;
mod smtp;
mod unpack;
pub mod wire;

pub use nats::Nats;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use service::{Service, Tuning};
pub use site::{Launch, Signal, Site, Wishes};
pub use smtp::SmtpSink;
