//! The slots that work one queue in one process, and what all pools of a process share.
//!
//! A slot is free as soon as its handler returned; the settlement goes on without it.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    Broker, Capability, ConsumeOptions, Consumer, DynMiddleware, Endings, JobOptions, Kind, QueueName,
    Registry, Store, WorkerName,
    broker::Occupied,
    store::{Holder, Trouble},
};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::Attempt,
    attempt::Leaving,
    backoff,
    health::Health,
    lonely::{Gate, Tries},
    options::{PoolOptions, WorkerOptions},
    retry_budget::RetryBudget,
    runners::Runners,
    running::Running,
    settler::Settler,
    wishes::Paused,
};

/// What a pool promises about effects in our own database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Every result is checked against the lease's token: an effect happens once.
    Fenced,
    /// No ledger: a handler may run, and have its effect, more than once.
    AtLeastOnce,
}

/// What all pools of a process share.
pub(crate) struct Engine {
    pub(crate) name: WorkerName,
    pub(crate) registry: Registry,
    pub(crate) chain: Arc<[Arc<dyn DynMiddleware>]>,
    pub(crate) options: WorkerOptions,
    pub(crate) gate: Gate,
    pub(crate) lonely_tries: Tries,
    pub(crate) health: Arc<Health>,
    pub(crate) paused: watch::Receiver<Paused>,
    /// Cancelled once this worker has tried to announce itself: what it takes before that would, if it died, have to
    /// wait for the end of its lease.
    pub(crate) introduced: CancellationToken,
    /// Where the ends of jobs are told.
    pub(crate) endings: Endings,
    rng: Mutex<SmallRng>,
}

impl Engine {
    pub(crate) fn new(
        name: WorkerName,
        registry: Registry,
        chain: Vec<Arc<dyn DynMiddleware>>,
        options: WorkerOptions,
        health: Arc<Health>,
        paused: watch::Receiver<Paused>,
        endings: Endings,
    ) -> Self {
        let rng = match options.seed {
            Some(seed) => SmallRng::seed_from_u64(seed),
            None => SmallRng::from_rng(&mut rand::rng()),
        };
        let (chain, gate, rng) = (chain.into(), Gate::default(), Mutex::new(rng));
        let introduced = CancellationToken::new();
        Self {
            name,
            registry,
            chain,
            options,
            gate,
            lonely_tries: Tries::default(),
            health,
            paused,
            introduced,
            endings,
            rng,
        }
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// About this long, a little different each time.
    pub(crate) fn around(&self, time: Duration) -> Duration {
        self.random(|rng| backoff::around(time, rng))
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder { worker: self.name.clone(), lease: self.options.lease }
    }

    /// The hard limit of one attempt of this kind.
    pub(crate) fn timeout(&self, kind: &Kind) -> Duration {
        self.registry.options(kind).and_then(|options| options.timeout).unwrap_or(self.options.timeout)
    }

    pub(crate) fn kind_options(&self, kind: &Kind) -> JobOptions {
        self.registry.options(kind).cloned().unwrap_or_default()
    }
}

/// The slots of one queue in one process.
pub(crate) struct Pool {
    pub(crate) queue: QueueName,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) options: PoolOptions,
    pub(crate) engine: Arc<Engine>,
    pub(crate) running: Arc<Running>,
    pub(crate) settler: Settler,
    pub(crate) budget: RetryBudget,
    pub(crate) vitals: Vitals,
    /// Slots of jobs that the ledger keeps.
    pub(crate) occupied: Occupied,
    /// The watchdog asks for a new consumer.
    pub(crate) rebuild: Notify,
    slots: Arc<Semaphore>,
    runners: Runners,
    retired: Mutex<Option<Box<dyn Consumer>>>,
}

impl Pool {
    pub(crate) fn new(
        queue: QueueName,
        broker: Arc<dyn Broker>,
        store: Option<Arc<dyn Store>>,
        options: PoolOptions,
        engine: Arc<Engine>,
    ) -> Self {
        let running = Arc::new(Running::default());
        let rooms = (options.slots * 2).max(512);
        let settler = Settler::new(store.clone(), Arc::clone(&running), &engine, rooms);
        Self {
            queue,
            broker,
            store,
            options,
            engine,
            running,
            settler,
            budget: RetryBudget::default(),
            vitals: Vitals::default(),
            occupied: Occupied::default(),
            rebuild: Notify::new(),
            slots: Arc::new(Semaphore::new(options.slots)),
            runners: Runners::default(),
            retired: Mutex::default(),
        }
    }

    /// What this pool promises.
    pub(crate) fn guarantee(&self) -> Guarantee {
        match self.store.is_some() || self.broker.capabilities().has(Capability::Ledger) {
            true => Guarantee::Fenced,
            false => Guarantee::AtLeastOnce,
        }
    }

    pub(crate) fn consume_options(&self) -> ConsumeOptions {
        ConsumeOptions {
            slots: self.options.slots + self.options.lookahead,
            kinds: Some(self.engine.registry.known()),
            lease: self.engine.options.lease,
            worker: self.engine.name.clone(),
            occupied: self.occupied.clone(),
        }
    }

    /// Whether not every slot runs something. The fetcher itself holds the free ones while it waits.
    pub(crate) fn has_room(&self) -> bool {
        self.running.len() < self.options.slots
    }

    /// Waits for a free slot and takes all that are free. Only the fetcher takes slots.
    pub(crate) async fn take_slots(&self) -> Option<OwnedSemaphorePermit> {
        let mut slots = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let more = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        if let Ok(more) = Arc::clone(&self.slots).try_acquire_many_owned(more) {
            slots.merge(more);
        }
        Some(slots)
    }

    /// Runs an attempt, owned by this pool.
    pub(crate) fn spawn(&self, attempt: impl Future<Output = ()> + Send + 'static) {
        self.runners.begin(attempt);
    }

    /// Ends every attempt where it stands.
    pub(crate) fn abort_tasks(&self) {
        self.runners.abort();
    }

    /// Keeps a quiet consumer until its deliveries are settled.
    pub(crate) fn retire(&self, consumer: Option<Box<dyn Consumer>>) {
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner) = consumer;
    }

    /// Hands what an attempt leaves behind to the settler.
    pub(crate) fn leave(&self, attempt: Arc<Attempt>, leaving: Option<Leaving>) {
        if let Some(leaving) = leaving {
            self.settler.take_over(attempt, leaving);
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.engine.paused.borrow().contains(&self.queue)
    }

    /// The name of this pool's part in readiness and log.
    pub(crate) fn part(&self) -> String {
        Trouble::part_of(&self.queue)
    }
}

/// Signs of consumption, for readiness and the watchdog.
#[derive(Debug)]
pub(crate) struct Vitals {
    born: Instant,
    consuming: AtomicBool,
    stuck: AtomicBool,
    /// Milliseconds since birth at which the fetcher began to wait, or got something; 0 = it does not wait.
    waiting_since: AtomicU64,
    pub(crate) fetched: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            consuming: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            waiting_since: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
        }
    }
}

impl Vitals {
    pub(crate) fn set_consuming(&self, consuming: bool) {
        self.consuming.store(consuming, Ordering::Relaxed);
    }

    pub(crate) fn is_consuming(&self) -> bool {
        self.consuming.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// The fetcher waits for work from now on, unless it waits already.
    pub(crate) fn waits(&self) {
        let now = self.millis();
        // Waiting already: the older time stands.
        let _ = self.waiting_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The fetcher got something, or has a reason not to wait.
    pub(crate) fn waits_not(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
        self.set_stuck(false);
    }

    pub(crate) fn got(&self, count: usize) {
        self.fetched.fetch_add(count as u64, Ordering::Relaxed);
        self.waits_not();
    }

    /// For how long the fetcher has waited with free slots and got nothing.
    pub(crate) fn waited(&self) -> Duration {
        match self.waiting_since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(self.millis().saturating_sub(since)),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}
