//! The servers of one seed, and how a caller gets to them: over its own line, past the planted lie if there is one.

use std::sync::Arc;

use backshift_core::{Broker, Client, QueueName, Store, store::Schedules};
use backshift_runtime::{Missed, Schedule};

use super::{
    book::Book,
    handlers::{TICK, named},
    line::Line,
    plan::{Plan, Source},
    planted::Planted,
    script::Script,
    weather::Weather,
};
use crate::{
    faults,
    memory::{MemoryBroker, MemoryStore, TokioClock},
};

/// The name of the schedule.
pub(super) const SCHEDULE: &str = "minutely";
/// Its interval in seconds.
pub(super) const EVERY: i64 = 30;

/// The servers.
#[derive(Clone)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) plan: Arc<Plan>,
    pub(super) clock: TokioClock,
    /// Never fails: for the model and for people.
    pub(super) store: MemoryStore,
    pub(super) broker: MemoryBroker,
    pub(super) weather: Weather,
    pub(super) book: Book,
    planted: Option<Planted>,
    keys: faults::Keys,
}

/// The servers as one caller sees them.
pub(super) struct Ports {
    pub(super) store: Arc<dyn Store>,
    pub(super) foreign: Arc<dyn Broker>,
    pub(super) ledger: Arc<dyn Broker>,
    /// For effects in our database.
    pub(super) database: MemoryStore,
}

impl Ports {
    pub(super) fn broker(&self, source: Source) -> Arc<dyn Broker> {
        match source {
            Source::Foreign => Arc::clone(&self.foreign),
            Source::Ledger => Arc::clone(&self.ledger),
        }
    }

    /// A producer's client for one of the queues.
    pub(super) fn client(&self, source: Source, clock: TokioClock) -> Client {
        Client::new(self.broker(source), Some(Arc::clone(&self.store))).with_clock(Arc::new(clock))
    }
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan, planted: Option<Planted>, book: Book) -> Self {
        let clock = TokioClock::default();
        for line in &plan.queues {
            book.slots(&line.queue, line.slots);
        }
        Self {
            seed,
            plan: Arc::new(plan),
            clock,
            store: MemoryStore::with_clock(clock),
            broker: MemoryBroker::new().with_clock(clock),
            weather: Weather::default(),
            book,
            planted,
            keys: faults::Keys::default(),
        }
    }

    /// Registers the schedule, so that the model knows its first tick.
    pub(super) async fn register(&self) {
        let clock: &dyn backshift_core::Clock = &self.clock;
        // This handle has no faults.
        let _ = self.store.last_tick(SCHEDULE, clock.now()).await;
    }

    /// The servers over this line.
    pub(super) fn ports(&self, line: &Line) -> Ports {
        let database = self.store.through(line.faults());
        let mut store: Arc<dyn Store> = Arc::new(database.clone());
        let mut foreign: Arc<dyn Broker> = Arc::new(self.broker.through(line.faults()));
        let mut ledger: Arc<dyn Broker> = Arc::new(database.broker());
        match self.planted {
            Some(Planted::Broker(fault)) => {
                foreign = faults::lying_broker(foreign, fault);
                ledger = faults::lying_broker(ledger, fault);
            }
            Some(Planted::Store(fault)) => store = faults::lying_store(store, fault, &self.keys),
            Some(Planted::Engine(_)) | None => {}
        }
        Ports { store, foreign, ledger, database }
    }

    pub(super) fn schedule(&self) -> Schedule {
        let (queue, payload) = (self.plan.queues[0].queue.clone(), Script::plain(0).payload());
        let schedule = Schedule::new(SCHEDULE, &format!("@every {EVERY}s"), named(TICK), queue, payload);
        schedule.expect("the schedule is legal").missed(Missed::CatchUp(1000))
    }

    pub(super) fn source(&self, queue: &QueueName) -> Source {
        let line = self.plan.queues.iter().find(|line| line.queue == *queue);
        line.map_or(Source::Ledger, |line| line.source)
    }

    /// Whether every queue of the foreign broker is empty.
    pub(super) fn is_broker_empty(&self) -> bool {
        self.plan.queues.iter().all(|line| self.broker.is_empty(&line.queue))
    }
}
