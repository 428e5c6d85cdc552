//! Arms measured round by round, and the verdict of each row.

mod arm;
mod cpu;
mod outcome;
mod report;
mod rounds;
mod seen;
mod stopwatch;

pub(crate) use arm::{Arm, Bench, Goal, Row, Unit};
pub(crate) use cpu::Server;
pub(crate) use outcome::{Outcome, print, write};
pub(crate) use report::report;
pub(crate) use rounds::{Plan, run};
pub(crate) use seen::Seen;
pub(crate) use stopwatch::{Sample, Stopwatch};
