//! What goes wrong, and when: by a seed, or step by step.
//!
//! *When* is a share of the effects, not a time: a fast machine gets its faults under load too.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// SIGKILL to one worker; another one is started in its place.
    KillWorker,
    /// SIGKILL to every worker at the same moment.
    KillAllWorkers,
    /// SIGSTOP to one worker, and SIGCONT after this time.
    FreezeWorker(Duration),
    /// SIGTERM to one worker: it drains, and another one is started in its place.
    StopWorker,
    /// Kills one worker exactly at this point of a job.
    KillWorkerAt(Point),
    /// SIGKILL to a server and all its processes; started again on the same data after this time.
    KillServer(Duration),
    /// A server is stopped as its service manager does, and started again after this time.
    RestartServer(Duration),
    /// SIGSTOP to a server and all its processes, and SIGCONT after this time.
    FreezeServer(Duration),
    /// Every connection of the workers to one server is closed.
    Cut,
    /// Every connection of the workers to one server moves nothing for this time, and nobody is told.
    HalfOpen(Duration),
    /// The workers' way to one server is slow for this time.
    Slow(Duration),
}

/// A named point in the life of one job on its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// The handler has worked; its effect is not written.
    BeforeEffect,
    /// Effect and completion are committed in the ledger, and the worker has not learned it.
    AfterEffect,
    /// Effect and completion are committed, the worker knows, and the broker's ack is not sent. Foreign brokers only.
    BeforeAck,
}

/// When something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// As soon as this share of all jobs has had its effect, 0 to 1.
    Share(f64),
    /// This long after the step before it (or the start).
    After(Duration),
}

/// A fault, its moment, and a number that picks the worker or the server it hits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Step {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
    /// Who: taken modulo those that are there.
    pub pick: usize,
}

/// Everything that goes wrong in a run, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Makes the same plan again.
    pub seed: u64,
    /// The steps in the order in which they happen.
    pub steps: Vec<Step>,
}

impl Plan {
    /// A plan without faults; what is added happens at moments and to victims that the seed decides.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, steps: Vec::new() }
    }

    /// Adds this fault so many times, spread over the run.
    #[must_use]
    pub fn with(mut self, times: usize, fault: Fault) -> Self {
        // What was added before decides too, so that two faults of one plan do not share their moments.
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003) + self.steps.len() as u64);
        for n in 0..times {
            let within: f64 = random.random_range(0.0..1.0);
            // Not before anything runs, and early enough that something is left to go wrong.
            let share = 0.03 + 0.87 * (n as f64 + within) / times as f64;
            let step = Step { when: When::Share(share), fault, pick: random.random_range(0..1 << 20) };
            let at = self.steps.partition_point(|other| matches!(other.when, When::Share(s) if s <= share));
            self.steps.insert(at, step);
        }
        self
    }

    /// Adds one fault at the end, at this moment, to this worker or server.
    #[must_use]
    pub fn then(mut self, when: When, fault: Fault, pick: usize) -> Self {
        self.steps.push(Step { when, fault, pick });
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillWorker => f.write_str("worker killed"),
            Self::KillAllWorkers => f.write_str("all workers killed at once"),
            Self::FreezeWorker(time) => write!(f, "worker frozen for {time:?}"),
            Self::StopWorker => f.write_str("worker told to stop"),
            Self::KillWorkerAt(Point::BeforeEffect) => f.write_str("worker killed before its effect"),
            Self::KillWorkerAt(Point::AfterEffect) => f.write_str("worker killed after its effect"),
            Self::KillWorkerAt(Point::BeforeAck) => f.write_str("worker killed before its ack"),
            Self::KillServer(down) => write!(f, "server killed, back after {down:?}"),
            Self::RestartServer(down) => write!(f, "server stopped, back after {down:?}"),
            Self::FreezeServer(time) => write!(f, "server frozen for {time:?}"),
            Self::Cut => f.write_str("connections cut"),
            Self::HalfOpen(time) => write!(f, "connections half open for {time:?}"),
            Self::Slow(time) => write!(f, "network slow for {time:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64) -> Plan {
        Plan::seeded(seed).with(20, Fault::KillWorker).with(3, Fault::KillServer(Duration::ZERO))
    }

    #[test]
    fn the_same_seed_is_the_same_plan_and_another_is_another() {
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn faults_are_in_order_and_spread_over_the_run() {
        let plan = plan(3);
        let shares: Vec<f64> = plan
            .steps
            .iter()
            .map(|step| match step.when {
                When::Share(share) => share,
                When::After(_) => panic!("a seeded plan has shares"),
            })
            .collect();
        assert_eq!(shares.len(), 23);
        assert!(shares.is_sorted(), "{shares:?}");
        assert!(shares[0] < 0.2 && shares[22] > 0.7 && shares.iter().all(|s| (0.0..0.95).contains(s)));
    }
}
