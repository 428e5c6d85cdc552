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
    pub(crate) engine: Arc<Engine>,
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) cron: Option<Arc<Cron>>,
    pub(crate) relays: Vec<Arc<dyn Broker>>,
    pub(crate) retentions: Vec<Arc<dyn Retention>>,
    pub(crate) watched: Arc<[Arc<dyn Watched>]>,
    pub(crate) paused: Arc<watch::Sender<Paused>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) maintains: bool,
    pub(crate) advises: bool,
    /// What is said at the start.
    pub(crate) doubts: Vec<String>,
    pub(crate) shutdown: Shutdown,
}

impl Worker {
    /// Answers readiness probes, also while the worker runs.
    pub fn readiness(&self) -> Readiness {
        Readiness::new(Arc::clone(&self.engine), self.pools.clone(), self.shutdown.clone())
    }

    /// Works until `shutdown`, then drains. Brokers stay open: whoever made them closes them. Dropping the future
    /// ends everything at once, as a kill would.
    pub async fn run(self, shutdown: Shutdown) -> Result<Drained, RunError> {
        self.doubts.iter().for_each(|doubt| tracing::warn!("{doubt}"));
        let (quiet, end) = (CancellationToken::new(), CancellationToken::new());
        let mut supervisor = Supervisor::new(self.pools.clone());
        self.start(&mut supervisor, &quiet, &end);
        let stuck = tokio::select! {
                biased;
            () = shutdown.quieted() => None,
            queue = watchdog::run(self.pools.clone(), self.engine.options.stuck_after) => Some(queue),
        };
        self.shutdown.quiet();
        quiet.cancel();
        let drained = self.drain(&mut supervisor, &shutdown).await;
        end.cancel();
        for pool in &self.pools {
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
        for pool in &self.pools {
            let fetching = (Arc::clone(pool), quiet.clone());
            supervisor.keep_fetcher(quiet, move || fetcher::run(Arc::clone(&fetching.0), fetching.1.clone()));
            let settling = Arc::clone(pool);
            supervisor.keep("settler", end, move || {
                let pool = Arc::clone(&settling);
                async move { pool.settler.run().await }
            });
        }
        let (engine, pools, store) = (Arc::clone(&self.engine), self.pools.clone(), self.store.clone());
        supervisor.keep("heartbeater", end, move || {
            heartbeater::run(Arc::clone(&engine), store.clone(), pools.clone())
        });
        if self.advises {
            let (engine, pools, store) = (Arc::clone(&self.engine), self.pools.clone(), self.store.clone());
            let cron = self.cron.clone();
            supervisor.keep("unattended", quiet, move || {
                unattended::run(Arc::clone(&engine), store.clone(), pools.clone(), cron.clone())
            });
        }
        let pools = self.pools.clone();
        supervisor.keep("gauges", end, move || gauges::run(pools.clone()));
        match &self.store {
            Some(store) => self.start_with_store(supervisor, store, quiet, end),
            None => self.engine.introduced.cancel(),
        }
        if let Some(cron) = &self.cron {
            let cron = Arc::clone(cron);
            supervisor.keep("cron", quiet, move || Arc::clone(&cron).run());
        }
    }

    fn start_with_store(
        &self,
        supervisor: &mut Supervisor,
        store: &Arc<dyn Store>,
        quiet: &CancellationToken,
        end: &CancellationToken,
    ) {
        // Each part gets its own handles; a restarted part begins with fresh clones of them.
        let all = (Arc::clone(&self.engine), Arc::clone(store), Arc::clone(&self.clock));
        let (own, pools, watched) = (all.clone(), self.pools.clone(), Arc::clone(&self.watched));
        supervisor.keep("announcer", end, move || {
            let (engine, store, clock) = own.clone();
            announcer::run(engine, store, pools.clone(), clock, Arc::clone(&watched))
        });
        let (own, pools) = (all.clone(), self.pools.clone());
        supervisor.keep("hand-over", end, move || {
            handover::run(Arc::clone(&own.0), Arc::clone(&own.1), pools.clone())
        });
        let (own, paused, pools) = (all.clone(), Arc::clone(&self.paused), self.pools.clone());
        supervisor.keep("wishes", end, move || {
            wishes::run(Arc::clone(&own.0), Arc::clone(&own.1), pools.clone(), Arc::clone(&paused))
        });
        if !self.maintains {
            return;
        }
        let own = all.clone();
        supervisor.keep("scheduler", quiet, move || {
            let (engine, store, _) = own.clone();
            scheduler::run(engine, store)
        });
        let own = all.clone();
        supervisor.keep("rescuer", quiet, move || rescuer::run(Arc::clone(&own.0), Arc::clone(&own.1)));
        let (own, pools) = (Arc::clone(store), self.pools.clone());
        supervisor.keep("forsaken", quiet, move || forsaken::run(pools.clone(), Arc::clone(&own)));
        let (own, domains) = (all.clone(), self.retentions.clone());
        supervisor.keep("pruner", quiet, move || {
            pruner::run(Arc::clone(&own.0), Arc::clone(&own.1), domains.clone())
        });
        for broker in &self.relays {
            let (own, broker) = (all.clone(), Arc::clone(broker));
            supervisor.keep("relay", quiet, move || {
                relay::run(Arc::clone(&own.0), Arc::clone(&own.1), Arc::clone(&broker))
            });
        }
    }

    /// Drain, abort, put back, settle; each with its share of the grace.
    async fn drain(&self, supervisor: &mut Supervisor, shutdown: &Shutdown) -> Drained {
        let (now, grace) = (Instant::now(), self.engine.options.grace);
        let told = now + grace.saturating_sub((grace / 5).min(Duration::from_secs(5)));
        let dropped = now + grace.saturating_sub((grace / 10).min(Duration::from_secs(2)));
        let running: usize = self.pools.iter().map(|pool| pool.running.len()).sum();
        tracing::info!(running, ?grace, "draining");
        let aborted = || async { shutdown.aborted().await };
        let idle = async {
            supervisor.fetchers_ended().await;
            self.emptied().await;
        };
        tokio::select! { biased; () = idle => {}, () = sleep_until(told) => {}, () = aborted() => {} }
        self.pools.iter().for_each(|pool| pool.running.stop_all(Stop::Shutdown));
        tokio::select! { biased; () = self.emptied() => {}, () = sleep_until(dropped) => {}, () = aborted() => {} }
        self.put_back();
        let last = (now + grace).min(Instant::now() + Duration::from_secs(2)).max(Instant::now());
        // What is not confirmed by then stays unsettled and is delivered again.
        let _ = timeout_at(last, self.emptied()).await;
        let unconfirmed = self.pools.iter().map(|pool| pool.running.len()).sum();
        let returned = self.engine.returned.load(Ordering::SeqCst);
        tracing::info!(returned, unconfirmed, "drained");
        Drained { returned, unconfirmed }
    }

    async fn emptied(&self) {
        for pool in &self.pools {
            pool.running.emptied().await;
        }
    }

    /// Puts back, uncounted, what still runs; its handlers are dropped.
    fn put_back(&self) {
        for pool in &self.pools {
            pool.abort_tasks();
            for attempt in pool.running.all().into_iter().filter(|attempt| !attempt.has_ended()) {
                let back =
                    release(attempt.context.envelope(), attempt.number, Duration::ZERO, "the worker stopped");
                let done = Settlement::Ack(Ack::Completed(Completion::default()));
                let back = if has(Bug::LosesOnDrain) { done } else { back };
                attempt.end();
                if pool.settler.end(&attempt, Some(back), Places::default()) {
                    self.engine.went_back(&attempt);
                }
            }
        }
    }
}
