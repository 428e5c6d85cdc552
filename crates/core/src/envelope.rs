//! A job on its way: the payload bytes exactly as they were sent, and what the engine needs to know of them.
//!
//! `attempt` is the number of the attempt that runs next or now, 1-based; it is not a count of deliveries.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    JobId, Kind, QueueName, Reason,
    wire::{BODY_NOT_KEPT, SENSITIVE},
};

/// Text that travels beside the payload: trace context, locale, facts about the origin. Never secrets.
pub type Headers = BTreeMap<String, String>;

/// What travels: payload and everything that is known about the job. `Debug` shows no payload of a sensitive one.
#[derive(Clone, PartialEq)]
pub struct Envelope {
    /// Identity on every broker and in the store; also the message id on the wire.
    pub id: JobId,
    /// Which handler does it.
    pub kind: Kind,
    /// The line it stands in.
    pub queue: QueueName,
    /// The bytes as sent; never re-serialised.
    pub payload: Bytes,
    /// Trace context and other text beside the payload.
    pub headers: Headers,
    /// 1 + counted failures.
    pub attempt: u32,
    /// How many attempts it may take; `None` = the handler's own number, else the engine's default.
    pub max_attempts: Option<u32>,
    /// Higher runs first; 0 is normal, -100 to 100.
    pub priority: i16,
    /// Not before this time; `None` = now.
    pub run_at: Option<Timestamp>,
    /// At most one unfinished job per key.
    pub unique: Option<UniqueKey>,
    /// Lets a producer repeat an enqueue without a second job; the job id is always one as well.
    pub idempotency_key: Option<String>,
    /// Whom the job concerns (system A's `user_id`), if anybody.
    pub user_id: Option<uuid::Uuid>,
    /// When the producer made it.
    pub created_at: Timestamp,
}

impl Envelope {
    /// A first attempt, due now, with no extras.
    pub fn new(kind: Kind, queue: QueueName, payload: impl Into<Bytes>, now: Timestamp) -> Self {
        Self {
            id: JobId::generate(),
            kind,
            queue,
            payload: payload.into(),
            headers: Headers::new(),
            attempt: 1,
            max_attempts: None,
            priority: 0,
            run_at: None,
            unique: None,
            idempotency_key: None,
            user_id: None,
            created_at: now,
        }
    }

    /// As a foreign broker gets it from the store: due now, without the keys, because the store keeps those promises
    /// and a broker that cannot keep them refuses an envelope that asks for them.
    #[must_use]
    pub fn for_broker(self) -> Self {
        Self { run_at: None, unique: None, idempotency_key: None, ..self }
    }

    /// Whether the payload must not be shown or stored anywhere but at the broker.
    pub fn is_sensitive(&self) -> bool {
        self.headers.contains_key(SENSITIVE)
    }

    /// Whether a ledger may keep the body of a delivery that its broker keeps.
    pub fn may_be_kept(&self) -> bool {
        !self.is_sensitive() && !self.headers.contains_key(BODY_NOT_KEPT)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart by name, so that a new field cannot be forgotten.
        let Self {
            id,
            kind,
            queue,
            payload,
            headers,
            attempt,
            max_attempts,
            priority,
            run_at,
            unique,
            idempotency_key,
            user_id,
            created_at,
        } = self;
        let hidden = format_args!("{} bytes, sensitive", payload.len());
        let payload: &dyn fmt::Debug = if self.is_sensitive() { &hidden } else { payload };
        f.debug_struct("Envelope")
            .field("id", id)
            .field("kind", kind)
            .field("queue", queue)
            .field("payload", payload)
            .field("headers", headers)
            .field("attempt", attempt)
            .field("max_attempts", max_attempts)
            .field("priority", priority)
            .field("run_at", run_at)
            .field("unique", unique)
            .field("idempotency_key", idempotency_key)
            .field("user_id", user_id)
            .field("created_at", created_at)
            .finish()
    }
}

/// At most one unfinished job per key; the policy says what happens to the second one.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{UniqueKey, UniquePolicy};
///
/// let first_wins = UniqueKey::new("report:2026-11");
/// let newer_payload = UniqueKey::new("profile:7").replace();
/// let last_wins = UniqueKey::new("search:7").keep_last();
/// assert_eq!(last_wins.policy, UniquePolicy::KeepLast);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The key, at most 255 bytes; usually derived from the payload.
    pub key: String,
    /// What happens when an unfinished job holds the key.
    pub policy: UniquePolicy,
}

impl UniqueKey {
    /// The first job with this key wins: while it is unfinished, another one is not accepted.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), policy: UniquePolicy::Reject }
    }

    /// A job that still waits takes over the new payload, time and priority.
    #[must_use]
    pub fn replace(self) -> Self {
        Self { policy: UniquePolicy::Replace, ..self }
    }

    /// The last job wins.
    #[must_use]
    pub fn keep_last(self) -> Self {
        Self { policy: UniquePolicy::KeepLast, ..self }
    }
}

impl From<&str> for UniqueKey {
    fn from(key: &str) -> Self {
        Self::new(key)
    }
}

impl From<String> for UniqueKey {
    fn from(key: String) -> Self {
        Self::new(key)
    }
}

/// What happens to a job whose unique key is held by an unfinished one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UniquePolicy {
    /// The first one wins: the new job is not accepted, the answer names the job that holds the key.
    #[default]
    Reject,
    /// A job that still waits takes over the new payload, time and priority and keeps its id; a running one wins.
    Replace,
    /// The last one wins: a job that still waits is cancelled; beside a running one a single successor may wait.
    KeepLast,
}

impl UniquePolicy {
    /// The stable name in the database and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Replace => "replace",
            Self::KeepLast => "keep-last",
        }
    }
}

impl std::str::FromStr for UniquePolicy {
    type Err = crate::InvalidName;

    fn from_str(text: &str) -> Result<Self, crate::InvalidName> {
        match text {
            "reject" => Ok(Self::Reject),
            "replace" => Ok(Self::Replace),
            "keep-last" => Ok(Self::KeepLast),
            other => Err(crate::InvalidName {
                what: "unique policy",
                value: other.chars().take(80).collect(),
                rule: "one of reject, replace, keep-last",
            }),
        }
    }
}

/// The durable answer to an enqueue.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{Accepted, JobId};
///
/// fn said(answer: Accepted) -> String {
///     match answer {
///         Accepted::New(id) => format!("{id} waits"),
///         Accepted::Known { id, .. } => format!("{id} was accepted before"),
///         Accepted::Unique(id) => format!("{id} holds the key; nothing was added"),
///     }
/// }
/// assert!(said(Accepted::New(JobId::generate())).ends_with("waits"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The broker or the store holds the job now.
    New(JobId),
    /// This id (or idempotency key) was accepted before; the first payload is kept.
    Known {
        /// The job that was accepted then.
        id: JobId,
        /// Whether the payload of then was the same.
        same_payload: bool,
    },
    /// An unfinished job holds the unique key; nothing was added.
    Unique(JobId),
}

impl Accepted {
    /// The id that a caller may follow from here.
    pub fn id(&self) -> JobId {
        match self {
            Self::New(id) | Self::Known { id, .. } | Self::Unique(id) => *id,
        }
    }
}

/// Bytes from a broker that are no job. They go to the dead-letter queue unchanged, with the reason. `Debug` does not show
/// them: whether they are secret cannot be known.
#[derive(Clone, PartialEq)]
pub struct Malformed {
    /// The bytes as received.
    pub raw: Bytes,
    /// The reason of the dead letter: [`Reason::Malformed`], or [`Reason::TooLarge`] for what was not even looked at.
    pub reason: Reason,
    /// What is wrong with them, in words that the producer's owner understands; addresses masked.
    pub problem: String,
    /// The queue, exchange or subject where they came from.
    pub source: String,
}

impl fmt::Debug for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { raw, reason, problem, source } = self;
        f.debug_struct("Malformed")
            .field("raw", &format_args!("{} bytes", raw.len()))
            .field("reason", reason)
            .field("problem", problem)
            .field("source", source)
            .finish()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {}: {}", self.raw.len(), self.source, self.problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_body_that_is_secret_or_may_be() {
        let (kind, queue) = (Kind::new("a.b").unwrap(), QueueName::new("q").unwrap());
        let mut envelope = Envelope::new(kind, queue, "geheim", Timestamp::UNIX_EPOCH);
        assert!(format!("{envelope:?}").contains("geheim"));
        envelope.headers.insert(SENSITIVE.to_owned(), String::new());
        let shown = format!("{:?} {envelope:#?}", Ok::<_, Malformed>(envelope.clone()));
        assert!(!shown.contains("geheim") && shown.contains("6 bytes, sensitive"), "{shown}");

        let (raw, reason, source) = (Bytes::from("geheim"), Reason::Malformed, "q".to_owned());
        let malformed = Malformed { raw, reason, problem: "no JSON".to_owned(), source };
        let shown = format!("{malformed:?} {malformed}");
        assert!(!shown.contains("geheim") && shown.contains("6 bytes"), "{shown}");
    }
}
