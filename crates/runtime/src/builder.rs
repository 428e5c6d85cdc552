//! Collects the parts of a worker and says what is missing, before anything runs.
//!
//! The order of calls matters once: a pool works the broker that was named last before it.

use std::sync::Arc;

use backshift_core::{
    Broker, Capability, Client, Clock, DynMiddleware, Endings, Middleware, QueueName, Registry, Store,
    SystemClock, WorkerName,
    store::{Retention, Watched},
};
use tokio::sync::watch;

use crate::{
    cron::{Cron, Schedule},
    engine::{Engine, Paused},
    health::Health,
    options::{PoolOptions, WorkerOptions},
    pool::Pool,
    sense,
    shutdown::Shutdown,
    worker::{Parts, RunError, Worker},
};

/// Collects the parts of a worker.
#[derive(Default)]
pub struct WorkerBuilder {
    name: Option<WorkerName>,
    broker: Option<Arc<dyn Broker>>,
    store: Option<Arc<dyn Store>>,
    registry: Registry,
    chain: Vec<Arc<dyn DynMiddleware>>,
    pools: Vec<(Arc<dyn Broker>, QueueName, PoolOptions)>,
    missing_broker: Option<QueueName>,
    schedules: Vec<Schedule>,
    client: Option<Client>,
    options: WorkerOptions,
    clock: Option<Arc<dyn Clock>>,
    maintains: bool,
    advises: bool,
    relays: Vec<Arc<dyn Broker>>,
    retentions: Vec<Arc<dyn Retention>>,
    endings: Endings,
    watched: Vec<Arc<dyn Watched>>,
}

impl Worker {
    /// Begins to collect the parts of a worker.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::new()
    }
}

impl WorkerBuilder {
    pub(crate) fn new() -> Self {
        Self { maintains: true, advises: true, ..Self::default() }
    }

    /// The process's name, unique among those that run now. Required.
    #[must_use]
    pub fn name(mut self, name: WorkerName) -> Self {
        self.name = Some(name);
        self
    }

    /// The broker of the pools that are added *after* this call; the first one also serves cron.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        if !broker.capabilities().has(Capability::Ledger) {
            self.relays.push(Arc::clone(&broker));
        }
        self.broker = Some(broker);
        self
    }

    /// The ledger. Without it every pool on a foreign broker is at-least-once.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// The handlers.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Works a queue of the current broker with this many slots.
    #[must_use]
    pub fn pool(self, queue: QueueName, slots: usize) -> Self {
        self.pool_with(queue, PoolOptions::slots(slots))
    }

    /// Works a queue of the current broker.
    #[must_use]
    pub fn pool_with(mut self, queue: QueueName, options: PoolOptions) -> Self {
        match &self.broker {
            Some(broker) => self.pools.push((Arc::clone(broker), queue, options)),
            None => self.missing_broker = Some(queue),
        }
        self
    }

    /// Enqueues this schedule's jobs. Needs a store.
    #[must_use]
    pub fn cron(mut self, schedule: Schedule) -> Self {
        self.schedules.push(schedule);
        self
    }

    /// The client that cron enqueues through; the first broker and the store by default.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Wraps every attempt; the first one added is the outermost.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.chain.push(Arc::new(middleware));
        self
    }

    /// The numbers.
    #[must_use]
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// The time of day, for cron and records; leases are the store's matter.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Deletes these rows too, when they are old enough. Needs a store.
    #[must_use]
    pub fn retention(mut self, rows: Arc<dyn Retention>) -> Self {
        self.retentions.push(rows);
        self
    }

    /// Tells the ends of jobs here, for those who wait for them in this process.
    #[must_use]
    pub fn endings(mut self, endings: Endings) -> Self {
        self.endings = endings;
        self
    }

    /// Tells the others, with this worker's own troubles, when something is wrong with this. Needs a store.
    #[must_use]
    pub fn watching(mut self, what: Arc<dyn Watched>) -> Self {
        self.watched.push(what);
        self
    }

    /// Without scheduler, rescuer, pruner and relay: somebody else runs them.
    #[must_use]
    pub fn without_maintenance(mut self) -> Self {
        self.maintains = false;
        self
    }

    /// Without the words at the start about what was probably not meant (a kind in a queue that nobody works, a limit for a kind
    /// without a handler): for workers that live for one test.
    #[must_use]
    pub fn without_advice(mut self) -> Self {
        self.advises = false;
        self
    }

    /// Checks that nothing is missing, and that no number makes the work impossible.
    pub fn build(self) -> Result<Worker, RunError> {
        self.refused().map_or(Ok(()), |text| Err(RunError::Incomplete(text)))?;
        let incomplete = |text: &str| RunError::Incomplete(text.to_owned());
        let name = self.name.ok_or_else(|| incomplete("a worker needs a name: call name()"))?;
        let doubts = match self.advises {
            true => sense::doubts(self.pools.len(), &self.registry, &self.chain),
            false => Vec::new(),
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock));
        let first = self.pools.first().map(|(broker, ..)| Arc::clone(broker)).or(self.broker);
        let client = self
            .client
            .or(first.map(|broker| Client::new(broker, self.store.clone()).with_clock(Arc::clone(&clock))));
        let cron = match (self.schedules.is_empty(), client, &self.store) {
            (false, Some(client), Some(store)) => {
                Some(Arc::new(Cron::new(self.schedules, client, Arc::clone(store), Arc::clone(&clock))))
            }
            (false, ..) => {
                return Err(incomplete("cron needs a broker or a client to enqueue through"));
            }
            (true, ..) => None,
        };
        let (paused, watch) = watch::channel(Paused::new());
        let health = Arc::new(Health::default());
        let engine = Engine::new(name, self.registry, self.chain, self.options, health, watch, self.endings);
        let engine = Arc::new(engine);
        let pool = |(broker, queue, options)| {
            Arc::new(Pool::new(queue, broker, self.store.clone(), options, Arc::clone(&engine)))
        };
        let parts = Parts {
            pools: self.pools.into_iter().map(pool).collect(),
            engine,
            store: self.store,
            cron,
            retentions: self.retentions,
            watched: self.watched.into(),
            paused: Arc::new(paused),
            clock,
        };
        Ok(Worker {
            parts,
            relays: self.relays,
            maintains: self.maintains,
            advises: self.advises,
            doubts,
            shutdown: Shutdown::new(),
        })
    }

    /// What is missing or makes no sense, and what to do about it.
    fn refused(&self) -> Option<String> {
        if let Some(queue) = &self.missing_broker {
            return Some(format!("the pool of queue {queue} has no broker: call broker() before pool()"));
        }
        if !self.schedules.is_empty() && self.store.is_none() {
            return Some("cron needs a store, so that each tick happens once: call store()".to_owned());
        }
        if let Some(name) = twice(&self.schedules) {
            return Some(format!(
                "two schedules are named {name}: each tick of a name happens once, so only one of them would run; rename one"
            ));
        }
        sense::refused(&self.pools, &self.options, &self.registry, &self.chain)
    }
}

/// A name that two schedules have.
fn twice(schedules: &[Schedule]) -> Option<&str> {
    let mut names: Vec<&str> = schedules.iter().map(Schedule::name).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
