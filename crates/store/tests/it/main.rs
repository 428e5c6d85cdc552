//! The database layer on real servers and files. Each test has a database or a file of its own.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod connections;
mod durability;
mod liveness;
mod migrations;
mod place;
mod processes;
mod statements;
mod tls;
mod transactions;
mod wake_ups;
