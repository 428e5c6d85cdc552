//! Tests of the testkit itself: the suites hold on honest models, and they can fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod bad_input;
mod frozen_worker;
mod output;
mod planted_faults;
mod reaper;
mod spec;
