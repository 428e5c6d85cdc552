//! Backshift on PostgreSQL as a user builds it: `Worker` of the runtime, `postgres` broker, `SqlStore`.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use backshift_core::{
    Backoff, JobContext, JobError, JobOptions, Kind, QueueName, Registry, Store, WorkerName, store::Rate,
};
use backshift_runtime::{Drained, Shutdown, Worker, WorkerBuilder, middleware};
use backshift_store::{Database, Options, SqlStore, migrate};

use crate::{
    harness::{Arm, Sample, Seen, Stopwatch},
    site::postgres::{ID_SQL, PgSite, payload_sql, pin},
};

/// Slots of the pool: as many as the peers have workers.
pub(crate) const SLOTS: usize = 1000;
pub(crate) const QUEUE: &str = "bench";
pub(crate) const KIND: &str = "bench.noop";

/// A drain of our own queue.
pub(crate) struct Drain {
    name: &'static str,
    site: PgSite,
    jobs: f64,
    sort: Sort,
}

/// What is special about a drain.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sort {
    Plain,
    /// Every tenth job fails at its first attempt.
    Failing,
    /// Another session keeps a snapshot open from before the first claim until the end.
    Pinned,
    /// Metrics, tracing, a unique key and progress for every job, and a rate limit.
    Extras,
}

impl Drain {
    /// 200,000 jobs that do nothing.
    pub(crate) async fn new(name: &'static str, sort: Sort) -> Result<Self> {
        let site = PgSite::make(&name.replace('-', "_")).await?;
        Ok(Self { name, site, jobs: 200_000.0, sort })
    }
}

#[async_trait]
impl Arm for Drain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> String {
        let sort = match self.sort {
            Sort::Plain => "",
            Sort::Failing => ", every tenth job fails once",
            Sort::Pinned => ", another session holds a snapshot meanwhile",
            Sort::Extras => ", with metrics, tracing, unique keys, progress and a rate limit",
        };
        format!("Worker with {SLOTS} slots, postgres broker, default options{sort}; {}", self.site.settings())
    }

    async fn measure(&mut self, scale: f64) -> Result<Sample> {
        let jobs = (self.jobs * scale) as u64;
        let store = open(&self.site).await?;
        empty(&self.site).await?;
        fill_range(&self.site, 0, jobs).await?;
        if self.sort == Sort::Extras {
            self.site
                .admin
                .batch_execute("UPDATE background_jobs SET unique_key = id::text, seat = id::text, unique_policy = 'reject'")
                .await?;
            self.site.admin.batch_execute("VACUUM FULL ANALYZE background_jobs, job_line").await?;
        }
        let seen = Arc::new(Seen::new(jobs as usize));
        let builder = builder(&store)?.registry(registry(&seen, self.sort)?);
        let builder = if self.sort == Sort::Extras { extras(builder) } else { builder };
        let worker = builder.pool(QueueName::new(QUEUE)?, SLOTS).build()?;
        let other = match self.sort {
            Sort::Pinned => Some(pin(&self.site).await?),
            _ => None,
        };
        let shutdown = Shutdown::new();
        let watch = Stopwatch::start(self.site.server);
        let running = tokio::spawn(worker.run(shutdown.clone()));
        seen.complete().await;
        shutdown.quiet();
        // It returns when every result is written.
        let drained = running.await??;
        let sample = watch.stop(jobs);
        ensure!(drained == Drained::default(), "void: the worker left {drained:?}");
        seen.check()?;
        let done = self.site.count("SELECT COUNT(*) FROM background_jobs WHERE status = 'completed'").await?;
        ensure!(done == jobs, "void: the database shows {done} jobs as done, of {jobs}");
        drop(other);
        store.database().close().await;
        Ok(sample)
    }
}

/// The store with its tables, connected.
pub(crate) async fn open(site: &PgSite) -> Result<SqlStore> {
    let database = Database::open(&site.url, &Options::default())?;
    migrate::up(&database, &[&migrate::ENGINE]).await?;
    database.ping().await?;
    Ok(SqlStore::new(database))
}

/// No jobs.
pub(crate) async fn empty(site: &PgSite) -> Result<()> {
    Ok(site.admin.batch_execute("TRUNCATE background_jobs, job_attempts, job_line, job_claims").await?)
}

/// Waiting jobs with these numbers, as an enqueue writes them.
pub(crate) async fn fill_range(site: &PgSite, from: u64, jobs: u64) -> Result<()> {
    site.admin.batch_execute("CHECKPOINT").await?;
    let payload = payload_sql();
    let fill = format!(
        "INSERT INTO background_jobs (id, job_type, status, queue, broker, payload, payload_hash, payload_size, \
         created_at, run_at) SELECT {ID_SQL}, '{KIND}', 'available', '{QUEUE}', 'postgres', p, sha256(p), length(p), \
         t + i * interval '1 microsecond', t + i * interval '1 microsecond' \
         FROM (SELECT now() - interval '1 minute' AS t) t, generate_series({from}, {from} + {jobs} - 1) i, \
         LATERAL (SELECT {payload} AS p) p"
    );
    site.admin.batch_execute(&fill).await?;
    Ok(site.admin.batch_execute("VACUUM ANALYZE background_jobs, job_line").await?)
}

/// A worker with broker and store, without handlers and pools.
pub(crate) fn builder(store: &SqlStore) -> Result<WorkerBuilder> {
    let broker = backshift_brokers::postgres::broker(store.clone())?;
    let store: Arc<dyn Store> = Arc::new(store.clone());
    Ok(Worker::builder().name(WorkerName::new("bench")?).broker(Arc::new(broker)).store(store))
}

/// Everything that a user may put around a handler. The rate is never reached: asking for it is what costs.
fn extras(builder: WorkerBuilder) -> WorkerBuilder {
    let rate = Rate { per: Duration::from_secs(1), count: 1_000_000 };
    builder
        .middleware(middleware::Trace)
        .middleware(middleware::Metrics)
        .middleware(middleware::RateLimit::new(rate, |_| Some("bench".to_owned())))
}

fn registry(seen: &Arc<Seen>, sort: Sort) -> Result<Registry> {
    let backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_millis(20) };
    let options = JobOptions { backoff: Some(backoff), ..JobOptions::default() };
    let seen = Arc::clone(seen);
    let handler = move |context: JobContext| {
        let envelope = context.envelope();
        if sort == Sort::Extras {
            context.progress(100, "done");
        }
        let tenth = envelope.id.0.as_bytes()[15].is_multiple_of(10);
        let result = match sort == Sort::Failing && context.attempt() == 1 && tenth {
            true => Err(JobError::retry("every tenth fails once")),
            false => seen.mark(&envelope.payload).map_err(|error| JobError::permanent(error.to_string())),
        };
        async move { result }
    };
    Ok(Registry::default().with_raw(&Kind::new(KIND)?, options, handler))
}
