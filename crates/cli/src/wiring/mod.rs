//! Puts the parts together. The only place that names concrete stores; brokers are in `sources`, domains in `domains`.
//!
//! Nothing here waits for a server: what is built connects when it is used, so that a process can be alive and
//! not ready while a server is away.

mod backend;
mod failpoint;
mod lines;
mod metrics;
mod open_files;
mod patience;
mod places;
pub(crate) mod private;
mod probes;
mod readiness;
mod running;
mod servers;
mod site;
mod store;
mod ways;
mod work;

pub(crate) use backend::{Backend, Foreign};
pub(crate) use failpoint::arm_failpoint;
pub(crate) use lines::{
    adopted, all_lines, and_what_is_there, lines, lines_with, named as named_lines, names,
};
pub(crate) use metrics::{Metrics, Names, start_metrics};
pub(crate) use open_files::{open_files, warn_of_open_files};
pub(crate) use patience::Patience;
pub(crate) use places::{Place, Places, foreign, place, places};
pub(crate) use probes::{Taken, bind, health_of, limits, serve_probes};
pub(crate) use readiness::Ready;
pub(crate) use running::{Running, WORK};
pub(crate) use servers::{contradictions, refuse_unsupported, server_of, unsupported};
pub(crate) use site::Site;
pub(crate) use store::{
    Missing, Pending, Schema, bring_up, file_of, look_at, open_database, prepare, schema_failure,
};
pub(crate) use ways::{named, pem, protect};
pub(crate) use work::{
    Plan, check_queues, foreign_queues, known_queues, own_queue, plan, worker_builder, worker_name,
};
