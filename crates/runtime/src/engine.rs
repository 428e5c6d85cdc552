//! What all pools of a process share.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backshift_core::{
    DynMiddleware, Endings, JobOptions, Kind, QueueName, Registry, WorkerName, store::Holder,
};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::Attempt,
    backoff,
    health::Health,
    lonely::{Gate, Tries},
    options::WorkerOptions,
};

/// The queues that a person has paused.
pub(crate) type Paused = BTreeSet<QueueName>;

/// One a process.
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
    /// Attempts that went back uncounted because this worker stops.
    pub(crate) returned: AtomicUsize,
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
            returned: AtomicUsize::new(0),
            rng,
        }
    }

    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The stop of the worker cut this attempt short; whoever says so first counts.
    pub(crate) fn went_back(&self, attempt: &Attempt) {
        self.returned.fetch_add(usize::from(attempt.goes_back()), Ordering::SeqCst);
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
