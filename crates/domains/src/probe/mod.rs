//! The kind `backshift.probe`: makes every promise checkable from outside (docs/contracts/probe.md).
//!
//! With a store, a successful attempt writes its effect and completes its job in one transaction; a duplicate would
//! be a second row. Without one, each effect is a line of a file that is on disk before the job is acked.

mod file;
mod handler;
mod modes;
mod tables;

pub use file::ProbeLog;
pub use handler::{KIND, ProbeEffects, ProbeWorker};
pub use modes::Probe;
pub use tables::TABLES;
