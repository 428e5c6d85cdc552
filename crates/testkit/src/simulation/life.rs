//! One life of a worker: the real engine over its own line, which may be killed, frozen or drained.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use backshift_core::{Clock, Timestamp, WorkerName};
use backshift_runtime::{Drained, Readiness, RunError, Shutdown, Worker};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout},
};

use super::{handlers::Desk, line::Line, rules::Rule, world::World};
use crate::memory::TokioClock;

/// How much longer than its grace a drain may take.
const SLACK: Duration = Duration::from_secs(10);

/// What a life is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Birth {
    /// Tells lives apart.
    pub(super) number: u64,
    /// It has the name of the life before it.
    pub(super) reborn: bool,
    pub(super) knows_fresh: bool,
    pub(super) with_schedule: bool,
}

/// A worker that runs.
pub(super) struct Life {
    pub(super) name: String,
    pub(super) line: Line,
    pub(super) birth: Birth,
    pub(super) readiness: Readiness,
    world: World,
    skew: Skew,
    shutdown: Shutdown,
    task: JoinHandle<Result<Drained, RunError>>,
    reaper: AbortHandle,
}

impl Life {
    pub(super) fn begin(world: &World, place: usize, birth: Birth) -> Self {
        let name = match birth.reborn {
            true => format!("w{place}"),
            false => format!("w{place}-{}", birth.number),
        };
        world.book.note(|| format!("{name} begins, {birth:?}"));
        let seed = world.seed.wrapping_mul(1_000_003).wrapping_add(birth.number);
        let line = Line::new(&name, seed, world.plan.quality, &world.weather, &world.book);
        let skew = Skew { base: world.clock, millis: Arc::default() };
        let worker = build(world, &name, &line, &skew, birth, seed);
        let (shutdown, readiness) = (Shutdown::new(), worker.readiness());
        let task = tokio::spawn(worker.run(shutdown.clone()));
        let (doom, victim) = (line.clone(), task.abort_handle());
        let reaper = tokio::spawn(async move {
            doom.doomed().await;
            victim.abort();
        });
        let (world, reaper) = (world.clone(), reaper.abort_handle());
        Self { name, line, birth, readiness, world, skew, shutdown, task, reaper }
    }

    /// Moves the worker's clock.
    pub(super) fn step_clock(&self, by: i64) {
        self.skew.millis.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// As `kill -9`: no word to anybody.
    pub(super) async fn kill(self) {
        self.world.book.note(|| format!("{} is killed", self.name));
        self.line.kill();
        self.reaper.abort();
        self.task.abort();
        let _ = self.task.await;
    }

    /// Drains the worker; after the grace and some slack it is killed, which is not a rule broken in a storm: its
    /// servers may be away.
    pub(super) async fn drain(mut self) {
        self.world.book.note(|| format!("{} drains", self.name));
        let (calm, began) = (self.world.book.pages().calm.is_some(), Instant::now());
        self.shutdown.quiet();
        let ended = timeout(self.world.plan.grace + SLACK, &mut self.task).await;
        self.reaper.abort();
        self.line.kill();
        match ended {
            Ok(Ok(Ok(drained))) => {
                self.world.book.note(|| format!("{} drained: {drained:?}", self.name));
                if calm && drained.unconfirmed > 0 {
                    let text = format!("{} left {} results unconfirmed", self.name, drained.unconfirmed);
                    self.world.book.broken(Rule::Drain, text);
                }
            }
            Ok(Ok(Err(error))) if calm => {
                self.world.book.broken(Rule::Alive, format!("{}: {error}", self.name))
            }
            Ok(Err(error)) if error.is_panic() => {
                self.world.book.broken(Rule::Alive, format!("{} panicked", self.name));
            }
            Ok(_) => {}
            Err(_) => {
                let text = format!("{} still drains after {:?}", self.name, began.elapsed());
                self.world.book.broken(Rule::Drain, text);
                self.task.abort();
            }
        }
    }
}

fn build(world: &World, name: &str, line: &Line, skew: &Skew, birth: Birth, seed: u64) -> Worker {
    let ports = world.ports(line);
    let desk = Desk {
        book: world.book.clone(),
        line: line.clone(),
        weather: world.weather.clone(),
        store: ports.database.clone(),
        clock: world.clock,
    };
    let mut builder = Worker::builder()
        .name(WorkerName::new(name).expect("the name is legal"))
        .clock(Arc::new(skew.clone()))
        .options(world.plan.options(seed))
        .store(Arc::clone(&ports.store))
        .registry(desk.registry(birth.knows_fresh));
    let mut source = None;
    for queue in &world.plan.queues {
        if source.replace(queue.source) != Some(queue.source) {
            builder = builder.broker(ports.broker(queue.source));
        }
        builder = builder.pool(queue.queue.clone(), queue.slots);
    }
    for middleware in desk.chain() {
        builder = builder.middleware(middleware);
    }
    if birth.with_schedule {
        builder = builder.cron(world.schedule());
    }
    builder.build().expect("nothing is missing")
}

/// A worker's clock: right at first, and stepped by the storm.
#[derive(Debug, Clone)]
struct Skew {
    base: TokioClock,
    millis: Arc<AtomicI64>,
}

impl Clock for Skew {
    fn now(&self) -> Timestamp {
        let step = jiff::SignedDuration::from_millis(self.millis.load(Ordering::Relaxed));
        let now = self.base.now();
        now.checked_add(step).unwrap_or(now)
    }
}
