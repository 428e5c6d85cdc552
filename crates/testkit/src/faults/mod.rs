//! Adapters that lie: wrappers around any broker or store with one planted fault each.
//!
//! They prove that the conformance suites can fail. Each fault names the rule that it breaks; a rule that no fault
//! can break is worth a second look.

mod broker;
mod consumer;
mod receipt;
mod store;
mod store_fault;

pub use broker::{BrokerFault, FaultyBrokers};
pub use store_fault::{FaultyStores, StoreFault};
