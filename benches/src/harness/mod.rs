//! Arms measured round by round, and the verdict of each row.

mod arm;
mod cpu;
mod outcome;
mod plan;
mod report;
mod rounds;
mod sample;
mod seen;
mod stopwatch;

pub(crate) use arm::{Arm, Bench, Goal, Row};
pub(crate) use cpu::Server;
pub(crate) use outcome::{Outcome, print, write};
pub(crate) use plan::Plan;
pub(crate) use report::report;
pub(crate) use rounds::run;
pub(crate) use sample::{Sample, Unit};
pub(crate) use seen::Seen;
pub(crate) use stopwatch::Stopwatch;
