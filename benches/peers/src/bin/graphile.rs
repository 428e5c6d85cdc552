//! `graphile DATABASE_URL JOBS`: the crate `graphile_worker` with the settings of its own bench (`benches/perf_test.rs`).
//!
//! Fills, prints `filled`, waits for a line, drains, prints `handled`, and ends when its standard input ends.

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext, WorkerOptions,
    WorkerUtils,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noop {
    n: usize,
    pad: String,
}

/// One mark a job.
#[derive(Clone, Debug)]
struct Seen(Arc<(Vec<AtomicU64>, AtomicU64, Notify)>);

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(Seen(seen)) = context.get_ext::<Seen>() {
            seen.0[self.n].fetch_add(1, Ordering::Relaxed);
            if seen.1.fetch_add(1, Ordering::Relaxed) + 1 == seen.0.len() as u64 {
                seen.2.notify_one();
            }
        }
        Ok::<(), String>(())
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().context("graphile DATABASE_URL JOBS")?;
    let jobs: usize = arguments.next().context("graphile DATABASE_URL JOBS")?.parse()?;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(100).connect(&url).await?;
    fill(&pool, jobs).await?;
    sqlx::query("VACUUM ANALYZE").execute(&pool).await?;
    let seen = Seen(Arc::new(((0..jobs).map(|_| AtomicU64::new(0)).collect(), AtomicU64::new(0), Notify::new())));
    let worker = WorkerOptions::default()
        .database(pool)
        .schema("graphile_worker")
        .concurrency(500)
        .poll_interval(Duration::from_millis(5))
        .complete_job_batch_delay(Duration::from_millis(5))
        .local_queue(LocalQueueConfig::default().with_size(5000))
        .add_extension(seen.clone())
        .define_job::<Noop>()
        .init()
        .await?;
    say("filled")?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    let worker = Arc::new(worker);
    let running = tokio::spawn({
        let worker = Arc::clone(&worker);
        async move { worker.run().await }
    });
    seen.0.2.notified().await;
    say("handled")?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    worker.request_shutdown();
    running.await??;
    ensure!(seen.0.0.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "a job ran twice or never");
    Ok(())
}

async fn fill(pool: &sqlx::PgPool, jobs: usize) -> Result<()> {
    let utils = WorkerUtils::new(pool.clone(), "graphile_worker");
    utils.migrate().await?;
    let all: Vec<usize> = (0..jobs).collect();
    for some in all.chunks(10_000) {
        let spec = |n: &usize| {
            let begin = format!("{{\"n\":{n},\"pad\":\"\"}}").len();
            let payload = serde_json::json!({"n": n, "pad": "x".repeat(150 - begin)});
            RawJobSpec { identifier: "noop".to_owned(), payload, spec: JobSpec::default() }
        };
        utils.add_raw_jobs(&some.iter().map(spec).collect::<Vec<_>>()).await?;
    }
    Ok(())
}

fn say(word: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")?;
    Ok(out.flush()?)
}
