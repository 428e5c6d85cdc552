//! What a user's job is: plain data with a stable name, and the numbers that govern its attempts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Headers, InvalidName, JobId, QueueName, UniqueKey};

/// Work to do later: data with a stable wire name. Renaming the type must not lose jobs, so the name is a constant.
///
/// ```
/// # use backshift_core as backshift;
/// use std::time::Duration;
/// use backshift::{Job, JobOptions};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Invoice {
///     order: u64,
/// }
///
/// impl Job for Invoice {
///     const KIND: &'static str = "invoice.send";
///     const QUEUE: &'static str = "invoices"; // "default" unless it says so
///
///     fn options() -> JobOptions {
///         JobOptions::new().max_attempts(5).timeout(Duration::from_secs(20))
///     }
/// }
/// ```
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

/// The numbers that govern the attempts of one kind; `None` = the worker's default (25 attempts, 30 minutes, 5 s doubled
/// up to an hour).
///
/// ```
/// # use backshift_core as backshift;
/// use std::time::Duration;
/// use backshift::{Backoff, JobOptions};
///
/// let options = JobOptions::new()
///     .max_attempts(8)
///     .timeout(Duration::from_secs(60))
///     .backoff(Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(600) })
///     .dependency("crm"); // guarded by the circuit breaker of that name
/// assert_eq!(options.max_attempts, Some(8));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobOptions {
    /// How many attempts a job may take before it is dead.
    pub max_attempts: Option<u32>,
    /// The hard limit of one attempt; the handler is cancelled, then aborted.
    pub timeout: Option<Duration>,
    /// How long to wait between attempts.
    pub backoff: Option<Backoff>,
    /// The effect of this kind is in our own database: finish as durably as the effect.
    pub strict: bool,
    /// The name of the outside dependency whose circuit breaker guards this kind, if any.
    pub dependency: Option<&'static str>,
}

impl JobOptions {
    /// The worker's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many attempts a job may take before it is dead.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// The hard limit of one attempt.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How long to wait between attempts.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// The effect is in our own database: finish as durably as it.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The outside dependency whose circuit breaker guards this kind.
    #[must_use]
    pub fn dependency(mut self, name: &'static str) -> Self {
        self.dependency = Some(name);
        self
    }
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
///
/// ```
/// # use backshift_core as backshift;
/// use std::time::Duration;
/// use backshift::{EnqueueOptions, UniqueKey};
///
/// # fn main() -> Result<(), backshift_core::InvalidName> {
/// let later = EnqueueOptions::new().delay(Duration::from_secs(600));
/// let one_a_day = EnqueueOptions::new().unique("report:2026-11-30");
/// let the_latest = EnqueueOptions::new().unique(UniqueKey::new("search:7").keep_last());
/// let urgent = EnqueueOptions::new().queue("urgent")?.priority(50).max_attempts(3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct EnqueueOptions {
    /// The id; generated when absent. Enqueuing a known id adds nothing.
    pub id: Option<JobId>,
    /// The queue; the kind's own when absent.
    pub queue: Option<QueueName>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Not before so long after the enqueue; with `run_at`, the later of both.
    pub delay: Option<Duration>,
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

impl EnqueueOptions {
    /// Nothing special: the kind's own queue, now.
    pub fn new() -> Self {
        Self::default()
    }

    /// Not before so long from now.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Not before this time.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.run_at = Some(time);
        self
    }

    /// At most one unfinished job with this key; a text alone means that the first one wins.
    #[must_use]
    pub fn unique(mut self, key: impl Into<UniqueKey>) -> Self {
        self.unique = Some(key.into());
        self
    }

    /// In this queue instead of the kind's own.
    ///
    /// # Errors
    /// The name is not legal on every broker.
    pub fn queue(mut self, name: &str) -> Result<Self, InvalidName> {
        self.queue = Some(QueueName::new(name)?);
        Ok(self)
    }

    /// Higher runs first, -100 to 100.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Attempts for this job alone.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// This id. Enqueuing a known id adds nothing.
    #[must_use]
    pub fn id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Repeating an enqueue with the same key adds nothing.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Whom the job concerns.
    #[must_use]
    pub fn user(mut self, id: uuid::Uuid) -> Self {
        self.user_id = Some(id);
        self
    }

    /// Text beside the payload, such as a trace context or a language. No secrets.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }
}
