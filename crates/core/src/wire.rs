//! The names of our headers on every wire: in AMQP tables, NATS and Kafka headers, and in the ledger's column.
//!
//! Values are text. Peers that are not ours keep what they do not know, and so do we: a name that is not in this list belongs
//! to the producer.

/// W3C trace context, kept from the producer to the handler (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";
/// The vendor part of the W3C trace context.
pub const TRACESTATE: &str = "tracestate";

/// Marks a payload that must appear in no ledger, log, dashboard or export.
pub const SENSITIVE: &str = "backshift-sensitive";
/// Marks a delivery of which the ledger keeps hash and size and no body: nobody said what is in it, and it may be a code.
pub const BODY_NOT_KEPT: &str = "backshift-body-not-kept";
/// Marks a job from the outbox that has started before: it goes back to its own queue and not through an exchange,
/// whose other readers have seen it. Never on the wire.
pub const STARTED: &str = "backshift-started";
/// The moment (RFC 3339) from which the job is of no use. It survives the retry queues, where RabbitMQ takes the property
/// `expiration` away.
pub const EXPIRES_AT: &str = "backshift-expires-at";

/// The number of the attempt that runs next, 1-based.
pub const ATTEMPT: &str = "backshift-attempt";
/// How many attempts the job may take.
pub const MAX_ATTEMPTS: &str = "backshift-max-attempts";
/// The kind, where the wire's own place for it is taken by a foreign name.
pub const KIND: &str = "backshift-kind";
/// When the producer made the job; a message with it is one of ours.
pub const CREATED_AT: &str = "backshift-created-at";
/// Not before this time.
pub const RUN_AT: &str = "backshift-run-at";
/// When a worker saw the message for the first time.
pub const FIRST_SEEN: &str = "backshift-first-seen";
/// The producer's key against a second job.
pub const IDEMPOTENCY_KEY: &str = "backshift-idempotency-key";
/// Whom the job concerns.
pub const USER_ID: &str = "backshift-user-id";

/// Why the message is a dead letter: a [`Reason`](crate::Reason).
pub const REASON: &str = "backshift-reason";
/// The error of its last attempt, in words.
pub const ERROR: &str = "backshift-error";
/// The queue that it was delivered from.
pub const SOURCE: &str = "backshift-source";

/// The schedule that made the job.
pub const CRON: &str = "backshift-cron";
/// The moment of that schedule.
pub const TICK: &str = "backshift-tick";
/// How often the job was parked where no ledger counts starts.
pub const PARKED: &str = "backshift-parked";

/// Headers that are fields of the envelope, or marks for one side only, and therefore not among its own headers.
pub const FIELDS: [&str; 12] = [
    ATTEMPT,
    MAX_ATTEMPTS,
    KIND,
    CREATED_AT,
    RUN_AT,
    FIRST_SEEN,
    IDEMPOTENCY_KEY,
    USER_ID,
    REASON,
    ERROR,
    SOURCE,
    STARTED,
];
