//! What the two SQL brokers share: their queue *is* the ledger, so a claim is already the row under a lease.
//!
//! `embedded` and `postgres` differ in how they connect and in how a waiting consumer is woken, and in nothing
//! else; those two differences stand in their folders.

mod broker;
mod care;
mod consumer;
mod hands;
mod publisher;
mod receipt;
mod settler;
mod shared;
mod walked;

pub use broker::LedgerBroker;
