//! Backshift for your Cargo.toml: typed jobs, a client, a worker, on the queue that you have.
//!
//! Start with [`Backshift::embedded`] and no server; production is [`Backshift::postgres`] or
//! [`Backshift::rabbitmq`] and the same handlers.

mod open;
mod site;

pub use backshift_core::*;
pub use backshift_runtime::{
    Cron, Drained, Guarantee, Missed, Overlap, PoolOptions, Readiness, RunError, Schedule, Shutdown, Worker,
    WorkerBuilder, WorkerOptions, middleware as runtime_middleware,
};
pub use backshift_store::foreign::{ForeignTx, enqueue_in, finish_in};
pub use open::OpenError;
pub use site::{Backshift, Shift};

/// The numbers of the limits and breakers among the middleware.
pub use backshift_core::store::{BreakerPolicy, Rate};

/// The database layer, for effects in a transaction with the job's completion.
pub use backshift_store as store;

/// For tests: conformance suites, planted faults, private servers, and [`survival`](testkit::survival), which kills
/// workers with your own handlers under load and counts what became of every job. Feature `testkit`.
#[cfg(feature = "testkit")]
pub use backshift_testkit as testkit;

/// The adapters, for brokers that are put together by hand.
pub use backshift_brokers as brokers;

/// The README's program, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
