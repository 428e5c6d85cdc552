//! Adapters that lie: wrappers around any broker or store with one planted fault each.
//!
//! They prove that the conformance suites can fail. Each fault names the rule that it breaks; a rule that no fault
//! can break is worth a second look.

mod breakers;
mod broker;
mod broker_fault;
mod consumer;
mod effects;
mod jobs;
mod ledger;
mod limits;
mod maintenance;
mod outbox;
mod queues;
mod receipt;
mod schedules;
mod store;
mod store_fault;
mod stores;
mod sweeps;

pub use broker::FaultyBrokers;
pub use broker_fault::BrokerFault;
pub use store_fault::StoreFault;
pub use stores::FaultyStores;

use std::sync::Arc;

#[cfg(feature = "simulation")]
use backshift_core::Broker;
use backshift_core::Store;
pub(crate) use store::Keys;

/// This broker with one planted fault.
#[cfg(feature = "simulation")]
pub(crate) fn lying_broker(honest: Arc<dyn Broker>, fault: BrokerFault) -> Arc<dyn Broker> {
    Arc::new(broker::FaultyBroker { honest, fault })
}

/// This store with one planted fault; handles that share `keys` are handles on one store.
pub(crate) fn lying_store(honest: Arc<dyn Store>, fault: StoreFault, keys: &Keys) -> Arc<dyn Store> {
    Arc::new(store::FaultyStore::new(honest, fault, Arc::clone(keys)))
}
