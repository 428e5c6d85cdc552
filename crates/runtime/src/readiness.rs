//! Whether this worker does its work: ready means *consuming*, not merely alive.

use std::sync::Arc;

use backshift_core::{QueueName, store::Trouble};

use crate::{
    engine::Engine,
    pool::{Guarantee, Pool},
    shutdown::Shutdown,
};

/// Answers readiness probes and status pages. Cheap to clone, and never waits.
///
/// ```
/// # use backshift_runtime as backshift;
/// use backshift::Readiness;
///
/// /// For `/readyz`: the status, and what is wrong in words. `worker.readiness()` makes one before the worker runs.
/// fn readyz(readiness: &Readiness) -> (u16, String) {
///     let report = readiness.report();
///     (if report.ready { 200 } else { 503 }, format!("{report:?}"))
/// }
/// ```
#[derive(Clone)]
pub struct Readiness {
    engine: Arc<Engine>,
    pools: Arc<[Arc<Pool>]>,
    shutdown: Shutdown,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every pool consumes (or is paused), nothing is wrong, and nobody told the worker to stop.
    pub ready: bool,
    /// The worker was told to stop.
    pub draining: bool,
    /// What is wrong, as `part: problem`.
    pub problems: Vec<String>,
    /// The pools, in the order in which they were added.
    pub pools: Vec<PoolReport>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReport {
    /// The queue that it works.
    pub queue: QueueName,
    /// Through which broker.
    pub broker: &'static str,
    /// What it promises.
    pub guarantee: Guarantee,
    /// How many jobs may run at once.
    pub slots: usize,
    /// Attempts that run or wait for their settlement.
    pub running: usize,
    /// It has a consumer.
    pub consuming: bool,
    /// Its queue is paused.
    pub paused: bool,
    /// Jobs wait, slots are free, and nothing comes.
    pub stuck: bool,
    /// Results that came after their lease was over.
    pub stale: u64,
    /// What keeps the broker from settling what the pool took.
    pub trouble: Option<String>,
}

impl Readiness {
    pub(crate) fn new(engine: Arc<Engine>, pools: Vec<Arc<Pool>>, shutdown: Shutdown) -> Self {
        Self { engine, pools: pools.into(), shutdown }
    }

    /// How things stand now.
    pub fn report(&self) -> Report {
        let pools: Vec<_> = self.pools.iter().map(|pool| describe(pool)).collect();
        let problems = all(&self.engine, &pools);
        let problems: Vec<_> = problems.into_iter().map(|(part, said)| format!("{part}: {said}")).collect();
        let draining = self.shutdown.is_quiet();
        let well = |pool: &PoolReport| (pool.consuming || pool.paused) && !pool.stuck;
        Report {
            ready: !draining && problems.is_empty() && pools.iter().all(well),
            draining,
            problems,
            pools,
        }
    }

    /// Whether the worker does its work.
    pub fn is_ready(&self) -> bool {
        self.report().ready
    }
}

/// What is wrong, by part.
pub(crate) fn problems(engine: &Engine, pools: &[Arc<Pool>]) -> Vec<(String, String)> {
    all(engine, &pools.iter().map(|pool| describe(pool)).collect::<Vec<_>>())
}

fn all(engine: &Engine, pools: &[PoolReport]) -> Vec<(String, String)> {
    let mut problems = engine.health.troubles();
    problems.extend(pools.iter().filter_map(complaint));
    problems
}

fn describe(pool: &Pool) -> PoolReport {
    PoolReport {
        queue: pool.queue.clone(),
        broker: pool.broker.name(),
        guarantee: pool.guarantee(),
        slots: pool.options.slots,
        running: pool.running.len(),
        consuming: pool.vitals.is_consuming(),
        paused: pool.is_paused(),
        stuck: pool.vitals.is_stuck(),
        stale: pool.settler.stale(),
        trouble: pool.broker.trouble(&pool.queue),
    }
}

fn complaint(pool: &PoolReport) -> Option<(String, String)> {
    let said = match &pool.trouble {
        Some(trouble) => trouble.clone(),
        None if pool.stuck => "jobs wait and slots are free, but nothing comes".to_owned(),
        None => return None,
    };
    Some((Trouble::part_of(&pool.queue), said))
}
