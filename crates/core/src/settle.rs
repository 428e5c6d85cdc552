//! How a delivery ends: ack, retry or dead-letter, said the same way to a broker and to the ledger.
//!
//! A [`Retry`] that does not count (snooze, shutdown, open breaker) keeps the attempt number.

use std::time::Duration;

use bytes::Bytes;

use crate::{Envelope, ErrorReport, Reason};

/// The largest output that is kept, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// What becomes of a delivery.
///
/// Nearly all are acks, and each is moved through several queues, so the value is kept small: a retry, which carries a whole
/// envelope, is boxed.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// It is over.
    Ack(Ack),
    /// It runs again later.
    Retry(Box<Retry>),
    /// It is kept for a person.
    DeadLetter(DeadLetter),
}

/// The two ways of being over.
#[derive(Debug, Clone, PartialEq)]
pub enum Ack {
    /// Done.
    Completed(Completion),
    /// Stopped on request.
    Cancelled,
}

/// What a completed attempt leaves behind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    /// The handler's output, at most [`MAX_OUTPUT_BYTES`].
    pub output: Option<Bytes>,
    /// A word about the outcome that is not an error: `suppressed`, a refused Cc.
    pub note: Option<String>,
    /// The effect of this kind is in our own database: the completion must be as durable as the effect.
    pub strict: bool,
    /// The handler completed the job in its own transaction: if the row still runs, that did not commit.
    pub in_transaction: bool,
}

/// The job goes back into its queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// The envelope of the next run: `attempt` is already the next number.
    pub next: Envelope,
    /// Not before this long from now.
    pub delay: Duration,
    /// Whether the failure counts as an attempt.
    pub counted: bool,
    /// What happened.
    pub error: Option<ErrorReport>,
}

/// The job is kept, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Which of the fixed reasons.
    pub reason: Reason,
    /// What happened, in words; addresses masked.
    pub error: ErrorReport,
    /// The attempt that ended it.
    pub attempt: u32,
}

/// Whether a settlement took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Written durably.
    Applied,
    /// Somebody else holds the job by now, or it is over: nothing was changed.
    Stale,
}
