//! Scenarios of the engine on tokio's paused clock, against the memory models of both ports.

mod attempts;
mod breaker;
mod cron;
mod enqueueing;
mod leases;
mod limits;
mod lonely;
mod observing;
mod parking;
mod readiness;
mod settling;
mod simulation;
mod stopping;
mod world;
