//! Scenarios of the engine on tokio's paused clock, against the memory models of both ports.

#![expect(clippy::unwrap_used, reason = "test plumbing: a failure here is a failed test")]

mod attempts;
mod breaker;
mod cron;
mod enqueueing;
mod handover;
mod leases;
mod limits;
mod lonely;
mod observing;
mod parking;
mod readiness;
mod settling;
mod simulation;
mod stand_in;
mod stopping;
mod world;
