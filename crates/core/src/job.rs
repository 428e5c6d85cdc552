//! What a user's job is: plain data with a stable name, and the numbers that govern its attempts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Headers, JobId, QueueName, UniqueKey};

/// Work to do later: data with a stable wire name. Renaming the type must not lose jobs, so the name is a constant.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The wire name, such as `email.send`.
    const KIND: &'static str;
    /// The queue it stands in unless the producer says otherwise.
    const QUEUE: &'static str = "default";

    /// Attempts, time-out and back-off of this kind.
    fn options() -> JobOptions {
        JobOptions::default()
    }
}

/// The numbers that govern the attempts of one kind; `None` = the engine's configured default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobOptions {
    /// How many attempts a job may take before it is dead.
    pub max_attempts: Option<u32>,
    /// The hard limit of one attempt; the handler is cancelled, then aborted.
    pub timeout: Option<Duration>,
    /// How long to wait between attempts.
    pub backoff: Option<Backoff>,
    /// The effect of this kind is in our own database: finish as durably as the effect (design.md §8).
    pub strict: bool,
    /// The name of the outside dependency whose circuit breaker guards this kind, if any.
    pub dependency: Option<&'static str>,
}

/// Exponential back-off: `base · 2^(attempt-1)`, at most `cap`, before jitter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay before the second attempt.
    pub base: Duration,
    /// The longest delay.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), cap: Duration::from_secs(3600) }
    }
}

/// What a producer may say about one job.
#[derive(Debug, Clone, Default)]
pub struct EnqueueOptions {
    /// The id; generated when absent. Enqueuing a known id adds nothing.
    pub id: Option<JobId>,
    /// The queue; the kind's own when absent.
    pub queue: Option<QueueName>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Higher runs first, -100 to 100.
    pub priority: i16,
    /// Attempts for this job alone.
    pub max_attempts: Option<u32>,
    /// At most one unfinished job per key.
    pub unique: Option<UniqueKey>,
    /// Repeating an enqueue with the same key adds nothing.
    pub idempotency_key: Option<String>,
    /// Whom the job concerns.
    pub user_id: Option<uuid::Uuid>,
    /// Trace context and other text.
    pub headers: Headers,
}
