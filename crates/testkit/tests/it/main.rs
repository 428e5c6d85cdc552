//! Tests of the testkit itself: the suites hold on honest models, and they can fail.

mod bad_input;
mod frozen_worker;
mod planted_faults;
mod spec;
