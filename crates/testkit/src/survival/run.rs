//! One run: workers work, producers enqueue, faults happen, and in the end everything is counted.
//!
//! Faults are triggered by progress, so that they hit work in flight however fast the machine is. A run that makes no
//! progress for too long is given up and judged as it stands.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backshift_core::JobId;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Evidence, Expected, Fleet, Plan, Producer, Reconciliation, Report, Stage, WorkerProgram,
    evidence::PROBE_EFFECTS, injector::Injector,
};
use crate::{pace, servers::PrivateServer};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(60);

/// A run that is being put together.
pub struct Survival {
    stage: Stage,
    program: WorkerProgram,
    producer: Arc<dyn Producer>,
    jobs: u64,
    batch: u64,
    workers: usize,
    plan: Plan,
    effects: String,
    proxied: bool,
    patience: Duration,
}

impl std::fmt::Debug for Survival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survival")
            .field("stage", &self.stage)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

impl Survival {
    /// A run of 1,000 jobs, three workers and no faults, with the effects of the probe kind.
    pub fn new(stage: Stage, program: WorkerProgram, producer: impl Producer + 'static) -> Self {
        Self {
            stage,
            program,
            producer: Arc::new(producer),
            jobs: 1000,
            batch: 100,
            workers: 3,
            plan: Plan::seeded(0),
            effects: PROBE_EFFECTS.to_owned(),
            proxied: false,
            patience: Duration::from_secs(90),
        }
    }

    /// How many jobs are enqueued in all.
    #[must_use]
    pub fn jobs(mut self, jobs: u64) -> Self {
        self.jobs = jobs;
        self.batch = (jobs / 20).clamp(20, 2000);
        self
    }

    /// How many workers run at a time.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// What goes wrong.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Where the effects of the handlers are: a `SELECT` of job id and number of effects, on the store's database.
    #[must_use]
    pub fn effects(mut self, select: &str) -> Self {
        self.effects = select.to_owned();
        self
    }

    /// Puts a proxy between each worker and each server; faults of the network and named points need it.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// How long nothing may happen before the run is given up.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// The machinery failed: a server did not start, a producer could not enqueue at all, the database could not be
    /// read in the end. A broken promise is not an error but a report that does not hold.
    pub async fn run(mut self) -> io::Result<Report> {
        let site = self.stage.site().clone();
        self.producer.prepare(&site).await?;
        let begun = Instant::now();
        let evidence = Evidence::new(&site, &self.effects);
        let fleet = Fleet::start(self.program.clone(), &site, self.workers, self.proxied).await?;
        let (progress, seen) = watch::channel(0);
        let producing = Producing::start(&self, seen);
        let mut injector = Injector::new(&mut self.stage, fleet, self.plan.clone(), self.jobs);
        let given_up = follow(&mut injector, &evidence, &producing, &progress, self.patience).await?;
        let given_up = match given_up {
            Some(reason) => Some(reason),
            None => settle(&mut injector, &evidence, &producing, self.patience).await?,
        };
        injector.mend().await?;
        let mut facts_of_queues = HashMap::new();
        let (mut fleet, faults, missed, ended) = injector.into_parts();
        // A message that a killed worker held comes again although its job is over: somebody must be there to acknowledge it.
        if let Some(broker) = self.stage.servers().first() {
            queues(broker).await?;
        }
        let exits = fleet.stop_all(DRAIN).await;
        if let Some(broker) = self.stage.servers().first() {
            facts_of_queues.extend(queues(broker).await?);
        }
        let mut facts = evidence.facts().await?;
        facts.accepted = producing.accepted();
        facts.queues = facts_of_queues.into_iter().collect();
        Ok(Report {
            ground: self.stage.ground().to_string(),
            jobs: self.jobs,
            workers: self.workers,
            seed: self.plan.seed,
            seconds: begun.elapsed().as_secs_f64(),
            faults,
            missed,
            ended,
            exits,
            given_up,
            reconciliation: Reconciliation::of(&facts),
            outputs: fleet.outputs(),
        })
    }
}

/// Lets the plan happen until all of it has and everything is enqueued; a text = no progress.
async fn follow(
    injector: &mut Injector<'_>,
    evidence: &Evidence,
    producing: &Producing,
    progress: &watch::Sender<u64>,
    patience: Duration,
) -> io::Result<Option<String>> {
    let (mut last, mut moved) = ((0, 0), Instant::now());
    loop {
        let effects = match evidence.count_effects().await {
            Ok(effects) => effects.max(last.0),
            // Its server is down at the moment.
            Err(_) => last.0,
        };
        progress.send_replace(effects);
        injector.step(effects).await?;
        if let Some(error) = producing.failure() {
            return Ok(Some(format!("enqueueing failed: {error}")));
        }
        let now = (effects, producing.count());
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        if producing.is_over() && injector.is_over() {
            return Ok(None);
        }
        if moved.elapsed() > pace::stretched(patience) {
            return Ok(Some(format!("no progress for {patience:?} at {effects} effects")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until every accepted job has ended and had its effect; a text = it does not get there.
async fn settle(
    injector: &mut Injector<'_>,
    evidence: &Evidence,
    producing: &Producing,
    patience: Duration,
) -> io::Result<Option<String>> {
    let expected: u64 = producing.accepted().values().map(|expected| expected.effects).sum();
    let (mut last, mut moved) = ((0, u64::MAX), Instant::now());
    loop {
        injector.step(u64::MAX).await?;
        let now = match (evidence.count_effects().await, evidence.count_open().await) {
            (Ok(effects), Ok(open)) => (effects, open),
            _ => last,
        };
        if now.0 >= expected && now.1 == 0 && injector.is_over() {
            return Ok(None);
        }
        if now != last {
            (last, moved) = (now, Instant::now());
        }
        if moved.elapsed() > pace::stretched(patience) {
            return Ok(Some(format!(
                "{} of {expected} effects, {} jobs open for {patience:?}",
                now.0, now.1
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The broker's queues; its statistics lag behind, so that what seems to be left is asked for again.
async fn queues(broker: &PrivateServer) -> io::Result<Vec<(String, u64)>> {
    let begun = Instant::now();
    loop {
        let answer = broker.queues().await;
        let empty = answer.as_ref().is_ok_and(|queues| queues.values().all(|count| *count == 0));
        if empty || begun.elapsed() > pace::stretched(Duration::from_secs(30)) {
            return answer.map(|queues| queues.into_iter().collect());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The task that enqueues, a batch at a time, never far ahead of the effects: so it goes on during the faults.
struct Producing {
    accepted: Arc<Mutex<HashMap<JobId, Expected>>>,
    failure: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Producing {
    fn start(run: &Survival, progress: watch::Receiver<u64>) -> Self {
        let accepted = Arc::<Mutex<HashMap<JobId, Expected>>>::default();
        let failure = Arc::<Mutex<Option<String>>>::default();
        let work = Work {
            producer: Arc::clone(&run.producer),
            site: run.stage.site().clone(),
            jobs: run.jobs,
            batch: run.batch,
            accepted: Arc::clone(&accepted),
            progress,
        };
        let failed = Arc::clone(&failure);
        let task = tokio::spawn(async move {
            if let Err(error) = work.enqueue().await {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        });
        Self { accepted, failure, task }
    }

    fn accepted(&self) -> HashMap<JobId, Expected> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self) -> u64 {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Producing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    producer: Arc<dyn Producer>,
    site: super::Site,
    jobs: u64,
    batch: u64,
    accepted: Arc<Mutex<HashMap<JobId, Expected>>>,
    progress: watch::Receiver<u64>,
}

impl Work {
    async fn enqueue(mut self) -> io::Result<()> {
        let ahead = (self.jobs / 8).max(2 * self.batch);
        let mut from = 0;
        while from < self.jobs {
            if self.progress.wait_for(|effects| from <= effects + ahead).await.is_err() {
                return Ok(());
            }
            let to = (from + self.batch).min(self.jobs);
            let accepted = self.producer.produce(&self.site, from..to).await?;
            self.accepted.lock().unwrap_or_else(PoisonError::into_inner).extend(accepted);
            from = to;
        }
        Ok(())
    }
}
