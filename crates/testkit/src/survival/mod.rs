//! The fault runner: real workers and servers, faults by a seeded plan, and a reconciliation of every accepted job.
//!
//! A run puts a [`Stage`] (private servers that may be killed), a [`WorkerProgram`] (the `backshift` binary, or the
//! user's own program with the user's own handlers) and a [`Producer`] together, lets a [`Plan`] happen, and ends with a
//! [`Report`]. What a reader would get wrong: workers are always processes. A handler of the user's is tested by a
//! program that asks [`role`] first, and is a worker when it gets a site.
//!
//! ```no_run
//! use backshift_testkit::survival::{Fault, Ground, Plan, Probes, Stage, Survival, WorkerProgram};
//! # async fn example(binary: &std::path::Path) -> std::io::Result<()> {
//! let plan = Plan::seeded(7).with(3, Fault::KillWorker).with(1, Fault::KillServer(std::time::Duration::ZERO));
//! let program = WorkerProgram::backshift(binary, 16);
//! let stage = Stage::open(Ground::POSTGRES).await?;
//! let report = Survival::new(stage, program, Probes::new(binary)).jobs(400).plan(plan).run().await?;
//! assert!(report.holds(), "{report}");
//! # Ok(())
//! # }
//! ```

mod evidence;
mod facts;
mod fleet;
mod injector;
mod plan;
mod producer;
mod reconciliation;
mod recovery;
mod report;
mod run;
mod stage;
mod worker_program;

pub use evidence::{Evidence, PROBE_EFFECTS};
pub use facts::{Expected, Facts, Starts};
pub use fleet::Fleet;
pub use plan::{Fault, Plan, Point, Step, When};
pub use producer::{ClientProducer, Probes, Producer};
pub use reconciliation::{Reconciliation, Trouble};
pub use recovery::{Recovery, Times};
pub use report::{Happened, Report};
pub use run::Survival;
pub use stage::{Ground, Site, Stage};
pub use worker_program::{WorkerProgram, role};
