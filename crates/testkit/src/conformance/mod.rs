//! The conformance suites: one case for each numbered MUST of `docs/spec/`.
//!
//! A broker or store joins with a harness of about fifteen lines, and a test binary calls the suites:
//!
//! ```no_run
//! # use backshift_testkit::conformance::{self, BrokerHarness, Plan};
//! # async fn example(harness: impl BrokerHarness) {
//! let report = conformance::broker_suite(harness, &Plan::default()).await;
//! print!("{report}");
//! assert!(report.is_good());
//! # }
//! ```
//!
//! Capabilities are tested in both directions: what is claimed must work, what is not claimed must be refused with
//! `Unsupported`. A case that cannot be tested with a harness says why in the table; it never counts as passed.

mod broker;
mod case;
mod engine;
mod harness;
mod memory;
mod report;
mod store;
mod suite;

pub use case::{Failure, Outcome, Verdict};
pub use harness::{
    BrokerHarness, Corpse, DeadJob, EngineHarness, EngineParts, Namespace, OpenStore, StoreHarness,
};
pub use memory::MemoryHarness;
pub use report::{Line, Report};
pub use suite::{Plan, broker_rules, broker_suite, engine_rules, engine_suite, store_rules, store_suite};
