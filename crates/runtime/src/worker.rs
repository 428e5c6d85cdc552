//! A worker process in one value: built from brokers, a store, handlers and pools; run until told to stop.
//!
//! The order of stopping is fixed: quiet (take nothing more), drain (let run what runs), abort (tell handlers to
//! stop, then drop them), put back what is unfinished, settle the rest; all of it within the grace.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backshift_core::{
    Ack, Broker, Clock, Completion, QueueName, Settlement, Store,
    store::{Retention, Watched},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    announcer,
    attempt::Places,
    cron::Cron,
    engine::{Engine, Paused},
    fetcher, forsaken, gauges, handover, heartbeater,
    outcome::{Stop, release},
    planted::{Bug, has},
    pool::Pool,
    pruner,
    readiness::Readiness,
    relay, rescuer, scheduler,
    shutdown::Shutdown,
    supervisor::Supervisor,
    unattended, watchdog, wishes,
};

/// Why a worker cannot run, or ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Cannot be built like this; the text says what is missing or wrong, and what to do.
    #[error("{0}")]
    Incomplete(String),
    /// Jobs wait, slots are free, and even a new consumer gets nothing: start a fresh process.
    #[error(
        "queue {0} has jobs and this worker gets none, even with a new connection; it ends so that a fresh one can start"
    )]
    Stuck(QueueName),
}

/// What a drain left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Attempts that the stop cut short and that went back uncounted: those whose handlers obeyed when they were told to stop, and
    /// those that were dropped.
    pub returned: usize,
    /// Settlements that the broker or the store did not confirm in time; those jobs are delivered again.
    pub unconfirmed: usize,
}

/// A worker that is ready to run.
pub struct Worker {
    pub(crate) parts: Parts,
    pub(crate) relays: Vec<Arc<dyn Broker>>,
    pub(crate) maintains: bool,
    pub(crate) advises: bool,
    /// What is said at the start.
    pub(crate) doubts: Vec<String>,
    pub(crate) shutdown: Shutdown,
}

/// What the worker's parts are made of: each takes what it needs of a copy, also when it is started anew.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) cron: Option<Arc<Cron>>,
    pub(crate) retentions: Vec<Arc<dyn Retention>>,
    pub(crate) watched: Arc<[Arc<dyn Watched>]>,
    pub(crate) paused: Arc<watch::Sender<Paused>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Worker {
    /// Answers readiness probes, also while the worker runs.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(Arc::clone(&self.parts.engine), self.parts.pools.clone(), self.shutdown.clone())
    }

    /// Works until `shutdown`, then drains. Brokers stay open: whoever made them closes them. Dropping the future
    /// ends everything at once, as a kill would.
    pub async fn run(self, shutdown: Shutdown) -> Result<Drained, RunError> {
        self.doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
        let (quiet, end) = (CancellationToken::new(), CancellationToken::new());
        let mut supervisor = Supervisor::new(self.parts.pools.clone());
        self.start(&mut supervisor, &quiet, &end);
        let stuck = tokio::select! {
            biased;
            () = shutdown.quieted() => None,
            queue = watchdog::run(self.parts.pools.clone(), self.parts.engine.options.stuck_after) => Some(queue),
        };
        self.shutdown.quiet();
        quiet.cancel();
        let drained = self.drain(&mut supervisor, &shutdown).await;
        end.cancel();
        for pool in &self.parts.pools {
            pool.abort_tasks();
            pool.retire(None);
        }
        // Parts end at their next await; one that blocks its thread must not keep the process.
        let _ = timeout_at(Instant::now() + Duration::from_secs(1), supervisor.ended()).await;
        match stuck {
            Some(queue) => Err(RunError::Stuck(queue)),
            None => Ok(drained),
        }
    }

    fn start(&self, supervisor: &mut Supervisor, quiet: &CancellationToken, end: &CancellationToken) {
        let all = &self.parts;
        for pool in &all.pools {
            let fetching = (Arc::clone(pool), quiet.clone());
            supervisor.keep_fetcher(quiet, &fetching, |(pool, quiet)| fetcher::run(pool, quiet));
            supervisor.keep("settler", end, pool, |pool| async move { pool.settler.run().await });
        }
        supervisor.keep("heartbeater", end, all, |all| heartbeater::run(all.engine, all.store, all.pools));
        if self.advises {
            supervisor.keep("unattended", quiet, all, |all| {
                unattended::run(all.engine, all.store, all.pools, all.cron)
            });
        }
        supervisor.keep("gauges", end, &all.pools, gauges::run);
        match &all.store {
            Some(store) => self.start_with_store(supervisor, &(all.clone(), Arc::clone(store)), quiet, end),
            None => all.engine.introduced.cancel(),
        }
        if let Some(cron) = &all.cron {
            supervisor.keep("cron", quiet, cron, Cron::run);
        }
    }

    fn start_with_store(
        &self,
        supervisor: &mut Supervisor,
        own: &(Parts, Arc<dyn Store>),
        quiet: &CancellationToken,
        end: &CancellationToken,
    ) {
        supervisor.keep("announcer", end, own, |(all, store)| {
            announcer::run(all.engine, store, all.pools, all.clock, all.watched)
        });
        supervisor.keep("hand-over", end, own, |(all, store)| handover::run(all.engine, store, all.pools));
        supervisor
            .keep("wishes", end, own, |(all, store)| wishes::run(all.engine, store, all.pools, all.paused));
        if !self.maintains {
            return;
        }
        supervisor.keep("scheduler", quiet, own, |(all, store)| scheduler::run(all.engine, store));
        supervisor.keep("rescuer", quiet, own, |(all, store)| rescuer::run(all.engine, store));
        supervisor.keep("forsaken", quiet, own, |(all, store)| forsaken::run(all.pools, store));
        supervisor.keep("pruner", quiet, own, |(all, store)| pruner::run(all.engine, store, all.retentions));
        for broker in &self.relays {
            let own = (self.parts.engine.clone(), Arc::clone(&own.1), Arc::clone(broker));
            supervisor
                .keep("relay", quiet, &own, |(engine, store, broker)| relay::run(engine, store, broker));
        }
    }

    /// Drain, abort, put back, settle; each with its share of the grace.
    async fn drain(&self, supervisor: &mut Supervisor, shutdown: &Shutdown) -> Drained {
        let (now, grace) = (Instant::now(), self.parts.engine.options.grace);
        let told = now + grace.saturating_sub((grace / 5).min(Duration::from_secs(5)));
        let dropped = now + grace.saturating_sub((grace / 10).min(Duration::from_secs(2)));
        let running: usize = self.parts.pools.iter().map(|pool| pool.running.len()).sum();
        tracing::info!(running, ?grace, "draining");
        let aborted = || async { shutdown.aborted().await };
        let idle = async {
            supervisor.fetchers_ended().await;
            self.emptied().await;
        };
        tokio::select! { biased; () = idle => {}, () = sleep_until(told) => {}, () = aborted() => {} }
        self.parts.pools.iter().for_each(|pool| pool.running.stop_all(Stop::Shutdown));
        tokio::select! { biased; () = self.emptied() => {}, () = sleep_until(dropped) => {}, () = aborted() => {} }
        self.put_back();
        let last = (now + grace).min(Instant::now() + Duration::from_secs(2)).max(Instant::now());
        // What is not confirmed by then stays unsettled and is delivered again.
        let _ = timeout_at(last, self.emptied()).await;
        let unconfirmed = self.parts.pools.iter().map(|pool| pool.running.len()).sum();
        let returned = self.parts.engine.returned.load(Ordering::SeqCst);
        tracing::info!(returned, unconfirmed, "drained");
        Drained { returned, unconfirmed }
    }

    async fn emptied(&self) {
        for pool in &self.parts.pools {
            pool.running.emptied().await;
        }
    }

    /// Puts back, uncounted, what still runs; its handlers are dropped.
    fn put_back(&self) {
        for pool in &self.parts.pools {
            pool.abort_tasks();
            for attempt in pool.running.all().into_iter().filter(|attempt| !attempt.has_ended()) {
                let back =
                    release(attempt.context.envelope(), attempt.number, Duration::ZERO, "the worker stopped");
                let done = Settlement::Ack(Ack::Completed(Completion::default()));
                let back = if has(Bug::LosesOnDrain) { done } else { back };
                attempt.end();
                if pool.settler.end(&attempt, Some(back), Places::default()) {
                    self.parts.engine.went_back(&attempt);
                }
            }
        }
    }
}
