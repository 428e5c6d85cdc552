//! The engine: pools that fetch, run and settle jobs, and the parts that keep a worker process healthy.
//!
//! Start at [`Worker::builder`]. One file per moving part; the supervisor owns them all and the order of
//! stopping: quiet, drain, abort. Nothing here names a broker, reads the environment or handles a signal.

mod announcer;
mod attempt;
pub mod backoff;
mod builder;
mod claimer;
pub mod cron;
mod cron_slots;
mod dispatcher;
mod engine;
mod executor;
mod fetcher;
mod forsaken;
mod gauges;
mod gone;
mod handover;
mod health;
mod heartbeater;
mod loan;
mod lonely;
pub mod middleware;
mod options;
pub mod outcome;
#[doc(hidden)]
pub mod planted;
mod pool;
mod pruner;
mod readiness;
mod relay;
mod rescuer;
pub mod retry_budget;
mod runners;
mod running;
mod scheduler;
mod sense;
mod settler;
mod settling;
mod shutdown;
mod supervisor;
mod troubles;
mod unattended;
mod vitals;
mod watchdog;
mod watched;
mod wishes;
mod worker;

pub use builder::WorkerBuilder;
pub use cron::{Cron, InvalidSchedule, Missed, Overlap, Schedule};
pub use options::{PoolOptions, WorkerOptions};
pub use pool::Guarantee;
pub use readiness::{PoolReport, Readiness, Report};
pub use shutdown::Shutdown;
pub use worker::{Drained, RunError, Worker};
