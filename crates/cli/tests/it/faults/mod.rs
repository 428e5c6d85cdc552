//! The fault matrix of `docs/spec/faults.md` with real processes and servers: one fault a file.
//!
//! Each ends with the same account: every accepted job completed, its effect there once, no attempt counted that
//! was not its own failure, and nothing left in the broker's queues.

mod account;
mod broker;
mod clock;
mod copies;
mod file;
mod locks;
mod mails;
mod memory;
mod network;
mod outages;
mod points;
mod servers;
mod stops;

pub(crate) use account::{Load, nothing_left};
