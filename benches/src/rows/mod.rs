//! The benches, one file each; a file lists its rows with their goals.

pub(crate) mod mail;
mod memory;
mod memory_api;
mod postgres;
mod postgres_drain;
mod rabbitmq;
mod rabbitmq_ledger;
mod sqlite;
mod sqlite_depth;

use crate::harness::Bench;

/// All benches, in the order of the report.
pub(crate) fn all() -> Vec<Bench> {
    vec![
        postgres_drain::BENCH,
        postgres::ENQUEUE,
        postgres::PICK_UP,
        postgres::DEPTH,
        postgres::SNAPSHOT,
        postgres::EXTRAS,
        rabbitmq::DRAIN,
        rabbitmq::DRAIN_4,
        rabbitmq::ENQUEUE,
        rabbitmq_ledger::BENCH,
        memory::MEMORY,
        memory::MILLION,
        memory_api::API,
        mail::MAIL,
        sqlite::DRAIN,
        sqlite::ENQUEUE,
        sqlite::LIFE,
        sqlite::PEERS,
        sqlite_depth::DEPTH,
        sqlite_depth::IDLE,
        sqlite_depth::ENGINE,
    ]
}
