//! Ready-made middleware around attempts and enqueues, one file each.
//!
//! A sensible order, outermost first: [`Trace`], [`Metrics`], [`Breaker`], [`RateLimit`], [`Concurrency`].

mod breaker;
mod concurrency;
mod metrics;
mod rate_limit;
mod snooze;
mod trace;

pub use breaker::Breaker;
pub use concurrency::Concurrency;
pub(crate) use metrics::published;
pub use metrics::{Metrics, PublishMetrics};
pub use rate_limit::RateLimit;
pub use trace::Trace;
