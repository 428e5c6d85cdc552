//! RabbitMQ (3.10 to 4.x) over AMQP 0-9-1. Peers see plain queues: nothing is declared stricter than they declare it.
//!
//! | Backshift | RabbitMQ |
//! |---|---|
//! | queue | durable queue of the same name; quorum by default, `x-delivery-limit` out of reach (attempts are ours) |
//! | [`Binding`](backshift_core::broker::Binding) | fanout exchange and queue, durable, no arguments, empty binding key: exactly as system C's Go code |
//! | job id | `message-id`; a foreign id that is not a UUID becomes a UUIDv5 of queue and id |
//! | kind | property `type`; on a bound queue the decoder, unless the message is one of ours |
//! | payload | body, byte for byte |
//! | headers | header table: text, numbers and booleans; the server's own and nested values stay on the wire |
//! | enqueue | persistent, mandatory, confirmed; many in flight over a confirm channel |
//! | delay, retry | `<queue>.retry.<1s … 6h>`: time to live, then back through the default exchange; chained, never early |
//! | dead letter | `<queue>.dlq`: body and properties kept, `backshift-reason`, `-error`, `-attempt`, `-first-seen`, `-source` |
//! | a copy is not taken | its delivery is kept (within the prefetch), the copy offered again; due, it goes to the queue itself |
//! | ack | `multiple` up to the contiguous watermark, stragglers singly |
//! | lease | the channel; a frozen worker is gone after about three heartbeats (15 s) |
//!
//! | capability | | |
//! |---|---|---|
//! | Delay | yes | chain of ladder queues; a new step is taken when a message comes back too early |
//! | Priority, Unique, KnownId, Cancel | no | the server cannot; with a store, the store does |
//! | Fencing, Ledger, Lease | no | a delivery is held by its channel; the ledger fences |
//!
//! Reconnecting is ours and not lapin's: `docs/decisions/0010-rabbitmq-reconnect.md`.

mod broker;
mod config;
mod consumer;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ladder;
mod message;
mod properties;
mod publisher;
mod publishing;
mod receipt;
mod settling;
mod shared;
mod topology;
mod troubles;
mod window;
mod wire;

pub use broker::RabbitMqBroker;
pub use config::{Config, Options, QueueType};
pub use ladder::STEPS;

/// How long RabbitMQ waits for an acknowledgement unless its `consumer_timeout` says otherwise; then it closes the channel
/// and hands everything out again that was on it. No client can ask for the server's own value.
pub const CONSUMER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30 * 60);
