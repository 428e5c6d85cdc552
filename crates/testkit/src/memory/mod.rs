//! Honest in-memory models of both ports: they keep the ports' promises, run on tokio's paused clock, and can
//! be told to fail at every call.
//!
//! [`MemoryBroker`] behaves like a foreign broker (it knows nothing of the ledger); [`MemoryLedgerBroker`]
//! shares its table with a [`MemoryStore`], as the SQL brokers do. Nothing survives the process.

mod breakers;
mod broker;
mod clock;
mod consumer;
mod effects;
mod faults;
mod jobs;
mod ledger;
mod ledger_broker;
mod limits;
mod maintenance;
mod outbox;
mod queues;
mod receipt;
mod row;
mod schedules;
mod store;
mod sweeps;
mod table;

pub use broker::{DeadMessage, MemoryBroker};
pub use clock::TokioClock;
pub use faults::{Fault, Faults};
pub use ledger_broker::MemoryLedgerBroker;
pub use store::MemoryStore;
