//! The slots that work one queue in one process.
//!
//! A slot is free as soon as its handler returned; the settlement goes on without it.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use backshift_core::{
    Broker, Capability, ConsumeOptions, Consumer, QueueName, Store, broker::Occupied, store::Trouble,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::{
    engine::Engine, options::PoolOptions, retry_budget::RetryBudget, runners::Runners, running::Running,
    settler::Settler, vitals::Vitals,
};

/// What a pool promises about effects in our own database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Every result is checked against the lease's token: an effect happens once.
    Fenced,
    /// No ledger: a handler may run, and have its effect, more than once.
    AtLeastOnce,
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

    pub(crate) fn is_paused(&self) -> bool {
        self.engine.paused.borrow().contains(&self.queue)
    }

    /// The name of this pool's part in readiness and log.
    pub(crate) fn part(&self) -> String {
        Trouble::part_of(&self.queue)
    }
}
