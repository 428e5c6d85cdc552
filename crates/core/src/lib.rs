//! Backshift's vocabulary and its two ports.
//!
//! A [`Broker`] moves envelopes, a [`Store`] remembers jobs; everything else in the workspace is written
//! against the types of this crate. It names no server, no client library and no other crate of ours.

pub mod broker;
pub mod client;
pub mod clock;
pub mod context;
pub mod effects;
pub mod ends;
pub mod envelope;
pub mod error;
pub mod failpoint;
pub mod handler;
pub mod job;
pub mod middleware;
pub mod names;
mod nearest;
mod policy;
pub mod presence;
pub mod record;
pub mod registry;
pub mod report;
pub mod settle;
pub mod store;
pub mod sweep;
pub mod way;
pub mod wire;

pub use broker::{
    Broker, BrokerError, Capabilities, Capability, ConsumeOptions, Consumer, Delivery, Receipt,
};
pub use client::{Client, EnqueueError};
pub use clock::{Clock, ManualClock, Moment, SystemClock, Timestamp};
pub use context::JobContext;
pub use effects::{EffectState, EffectStatus};
pub use ends::{Ended, Endings, Ends};
pub use envelope::{Accepted, Envelope, Headers, Malformed, UniqueKey, UniquePolicy};
pub use error::{JobError, JobResult, Reason, Verdict};
pub use failpoint::Failpoint;
pub use handler::Handler;
pub use job::{Backoff, EnqueueOptions, Job, JobOptions};
pub use middleware::{DynEnqueueMiddleware, DynMiddleware, EnqueueMiddleware, Middleware, Next, NextEnqueue};
pub use names::{BrokerName, InvalidName, JobId, Kind, Lease, QueueName, Token, WorkerName};
pub use nearest::nearest;
pub use record::{AttemptRecord, JobFilter, JobRecord, Page, QueueCounts, Standing, Stands, State};
pub use registry::{Kinds, Registry};
pub use report::{ErrorClass, ErrorReport};
pub use settle::{Ack, Completion, DeadLetter, Retry, Settled, Settlement};
pub use store::{Store, StoreError};
pub use sweep::{Deed, Hand, Sweep, Sweeps};

/// The bytes of a payload, shared without copying.
pub use bytes::Bytes;
