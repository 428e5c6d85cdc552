//! A worker that is being put together.
//!
//! The order of calls does not matter: middleware of yours is the outermost, in the order of its calls, then come the circuit
//! breaker, the rate limits and the places, so that a job which has to wait takes none of what stands further in.

use std::{future::Future, sync::Arc};

use backshift_core::{
    DynMiddleware, Job, Middleware, QueueName, Registry, WorkerName,
    store::{BreakerPolicy, Rate},
};
use backshift_runtime::{
    Drained, PoolOptions, Schedule, Shutdown, Worker, WorkerBuilder, WorkerOptions,
    middleware::{Breaker, Concurrency, RateLimit, Trace},
};

use crate::{OpenError, signals};

/// A worker that is being put together: handlers, pools, schedules, limits.
///
/// ```no_run
/// # use std::time::Duration;
/// # use backshift::{Backshift, BreakerPolicy, Job, JobContext, JobOptions, JobResult, OpenError, Rate, Registry, Schedule, WorkerOptions, stop_signal};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Push { customer: u64 }
/// # impl Job for Push {
/// #     const KIND: &'static str = "crm.push";
/// #     fn options() -> JobOptions { JobOptions::new().dependency("crm") }
/// # }
/// # async fn push(_: Push, _: JobContext) -> JobResult { Ok(()) }
/// # #[derive(Serialize, Deserialize)]
/// # struct Clean;
/// # impl Job for Clean { const KIND: &'static str = "clean"; }
/// # async fn clean(_: Clean, _: JobContext) -> JobResult { Ok(()) }
/// # async fn f(site: Backshift) -> Result<(), Box<dyn std::error::Error>> {
/// site.worker(Registry::default().with(push).with(clean))
///     .pool("default", 10)?
///     .cron(Schedule::of("nightly-clean", "0 3 * * *", &Clean)?)
///     .breaker(BreakerPolicy::default()) // for kinds that name a `dependency`
///     .limit(Rate::per_second(10), |push: &Push| format!("customer-{}", push.customer))
///     .places(2, |push: &Push| format!("customer-{}", push.customer)) // two at once for each
///     .options(WorkerOptions { grace: Duration::from_secs(20), ..WorkerOptions::default() })
///     .run(stop_signal())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a worker works when it is run"]
pub struct Shift {
    builder: WorkerBuilder,
    registry: Registry,
    name: Option<WorkerName>,
    outer: Vec<Arc<dyn DynMiddleware>>,
    breaker: Option<BreakerPolicy>,
    limits: Vec<RateLimit>,
    places: Vec<Concurrency>,
}

impl Shift {
    pub(crate) fn new(builder: WorkerBuilder, registry: Registry) -> Self {
        let (outer, limits, places) = (Vec::new(), Vec::new(), Vec::new());
        Self { builder, registry, name: None, outer, breaker: None, limits, places }
    }

    /// Works a queue with this many slots: so many jobs of it run at once here. 0 is refused by [`Self::build`] and [`Self::run`], as
    /// every number with which no job would ever run.
    ///
    /// # Errors
    /// The queue's name is not legal on every broker.
    pub fn pool(self, queue: &str, slots: usize) -> Result<Self, OpenError> {
        self.pool_with(queue, PoolOptions::slots(slots))
    }

    /// Works a queue with these numbers.
    ///
    /// # Errors
    /// As [`Self::pool`].
    pub fn pool_with(mut self, queue: &str, options: PoolOptions) -> Result<Self, OpenError> {
        self.builder = self.builder.pool_with(QueueName::new(queue)?, options);
        Ok(self)
    }

    /// Names the process; the process id by default. Must be unique among the workers that run now.
    ///
    /// # Errors
    /// The name is not legal.
    pub fn name(mut self, name: &str) -> Result<Self, OpenError> {
        self.name = Some(WorkerName::new(name)?);
        Ok(self)
    }

    /// Enqueues a job by the calendar: each tick once, however many workers have the schedule.
    pub fn cron(mut self, schedule: Schedule) -> Self {
        self.builder = self.builder.cron(schedule);
        self
    }

    /// Code of yours around every attempt; the first one is the outermost. It also sees an attempt that a limit, a place or a
    /// breaker sends back before its handler: the result is an error whose verdict counts nothing.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.outer.push(Arc::new(middleware));
        self
    }

    /// Guards every kind that names a `dependency` in its options: after failures in a row its jobs wait, uncounted, until
    /// the dependency answers again. One circuit a dependency, shared by all workers.
    pub fn breaker(mut self, policy: BreakerPolicy) -> Self {
        self.breaker = Some(policy);
        self
    }

    /// So many attempts in such a time for each key that a job of this kind names, over all workers. A job over the limit waits,
    /// uncounted. Kinds that name the same key share it, because it is the name of what is spared: put the kind into the key for a
    /// limit of its own.
    pub fn limit<J: Job>(mut self, rate: Rate, key: impl Fn(&J) -> String + Send + Sync + 'static) -> Self {
        self.limits.push(RateLimit::of(rate, key));
        self
    }

    /// So many jobs at once for each key that a job of this kind names, over all workers. A job without a place waits, uncounted.
    /// Kinds that name the same key share its places.
    pub fn places<J: Job>(mut self, places: u32, key: impl Fn(&J) -> String + Send + Sync + 'static) -> Self {
        self.places.push(Concurrency::of(places, key));
        self
    }

    /// The numbers: lease, grace, attempts, time-out, back-off, how long finished jobs are kept.
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.builder = self.builder.options(options);
        self
    }

    /// Everything else that the engine can be told.
    pub fn with(mut self, change: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// The worker, for whoever runs it himself: with a [`Shutdown`] of his own, or asked for its
    /// [`readiness`](Worker::readiness).
    ///
    /// # Errors
    /// Something is missing, or a number is one with which no job would ever run; the text says which and what to do.
    pub fn build(self) -> Result<Worker, OpenError> {
        let name = match self.name {
            Some(name) => name,
            None => WorkerName::new(format!("worker-{}", std::process::id()))?,
        };
        let mut builder = self.builder.name(name).middleware(Trace);
        for middleware in self.outer {
            builder = builder.middleware(middleware);
        }
        if let Some(policy) = self.breaker {
            builder = builder.middleware(Breaker::new(self.registry.clone(), policy));
        }
        builder = self.limits.into_iter().fold(builder, |builder, limit| builder.middleware(limit));
        builder = self.places.into_iter().fold(builder, |builder, places| builder.middleware(places));
        Ok(builder.registry(self.registry).build()?)
    }

    /// Works until `stop` ends (see [`stop_signal`](crate::stop_signal)), then drains: running jobs may end, the rest goes
    /// back uncounted. What the drain left.
    ///
    /// # Errors
    /// As [`Self::build`], or a queue is stuck and a fresh process has to start.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<Drained, OpenError> {
        let worker = self.build()?;
        let shutdown = Shutdown::new();
        let running = worker.run(shutdown.clone());
        let stopping = async {
            stop.await;
            shutdown.quiet();
            signals::again().await;
            shutdown.abort();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            drained = running => Ok(drained?),
            () = stopping => unreachable!("stopping never ends: the worker's own end is waited for"),
        }
    }
}
