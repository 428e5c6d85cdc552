//! Whole lives of workers on a paused clock: the real engine, the memory models of both ports, and a model that
//! knows what must come out.
//!
//! [`simulate`] runs one seed, [`many`] runs thousands. A seed decides everything: servers, jobs, faults, deaths. The
//! same seed has the same history, so a finding is replayed by its number.

mod book;
mod calm;
mod handlers;
mod life;
mod line;
mod many;
mod plan;
mod planted;
mod producer;
mod rules;
mod run;
mod script;
mod storm;
mod verdict;
mod weather;
mod world;

pub use many::{Tally, many};
pub use planted::{CATALOGUE, Caught, Planted, catch};
pub use rules::{Finding, Rule};
pub use run::{Options, Outcome, simulate};
