//! What tests of Backshift and of its users share: the conformance suites, planted faults, real servers, real
//! processes, and an honest memory model of both ports.
//!
//! An adapter outside this workspace joins with one of [`conformance::BrokerHarness`] and
//! [`conformance::StoreHarness`]; nothing here needs a server unless a harness does.

pub mod browser;
pub mod conformance;
pub mod faults;
pub mod memory;
pub mod pace;
pub mod payloads;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod reaper;
pub mod servers;
pub mod siege;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod survival;
pub mod wait;
pub mod watchdog;

pub use backshift_servers::ports;
