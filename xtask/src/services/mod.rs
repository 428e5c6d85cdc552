//! Real servers for the tests: `cargo xtask services up|down|status|env`.
//! Each one is a private process (or container) on a private port with fresh data; it outlives the command that
//! started it, and only its own record allows anybody to stop it.

mod account;
mod catalog;
mod command;
mod docker;
mod nats;
mod packages;
mod pgbouncer;
mod place;
mod ports;
mod postgres;
pub(crate) mod process;
mod programs;
mod rabbitmq;
mod record;
mod redis;
mod session;
mod smtp;
pub(crate) mod sources;
mod start;
mod unpack;
mod wire;

pub(crate) use account::is_root;
pub(crate) use command::{Options, environment, run};
pub(crate) use packages::install;
pub(crate) use programs::PROGRAMS;
pub(crate) use session::Session;
