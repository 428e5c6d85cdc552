//! The façade as a user's program meets it: jobs in transactions of five libraries, waiting, testing, opening, stopping.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod hands;
mod jobs;
mod log;
mod opening;
mod sense;
mod stopping;
mod testing;
mod transactions;
mod unattended;
mod waiting;
