//! `backshift bench`: how fast your own servers take and drain jobs that do nothing.
//!
//! Bounded, on a queue of its own that no other worker knows; its rows are deleted at the end.

use std::{sync::Arc, time::Instant};

use backshift_core::{EnqueueOptions, JobOptions, Kind, QueueName, Registry, WorkerName};
use backshift_runtime::{Shutdown, Worker};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    args::Bench,
    config::Config,
    exit::Failure,
    output,
    wiring::{Backend, Plan, worker_builder},
};

const KIND: &str = "backshift.bench";
const BATCH: u64 = 500;

/// Enqueues, drains, prints both rates.
pub(super) async fn run(args: &Bench, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let run = uuid::Uuid::now_v7().simple().to_string();
    let queue = QueueName::new(format!("backshift-bench-{run}")).map_err(Failure::failed)?;
    let kind = Kind::new(KIND).map_err(Failure::failed)?;
    let bar = ProgressBar::new(args.jobs * 2);
    let began = Instant::now();
    enqueue(args.jobs, backend, &kind, &queue, &bar).await?;
    let enqueued = began.elapsed();
    let began = Instant::now();
    let drained = drain(args, config, backend, &kind, &queue, &bar).await;
    let drain_time = began.elapsed();
    bar.finish_and_clear();
    clean_up(backend, &queue).await?;
    drained?;
    let rate = |time: std::time::Duration| (args.jobs as f64 / time.as_secs_f64()).round();
    if args.output.json {
        output::json(&json!({
            "broker": backend.broker.name(), "jobs": args.jobs, "slots": args.slots,
            "enqueue_per_second": rate(enqueued), "drain_per_second": rate(drain_time),
        }));
    } else {
        output::line(format!("{} jobs on {}, {} slots", args.jobs, backend.broker.name(), args.slots));
        output::line(format!(
            "enqueue {:>10} jobs/s, batches of {BATCH}, each answered when durable",
            rate(enqueued)
        ));
        output::line(format!("drain   {:>10} jobs/s, until the last result is durable", rate(drain_time)));
    }
    Ok(())
}

async fn enqueue(
    jobs: u64,
    backend: &Backend,
    kind: &Kind,
    queue: &QueueName,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut left = jobs;
    while left > 0 {
        let size = left.min(BATCH);
        let envelope = |n| {
            let payload = format!("{{\"n\":{n},\"filler\":\"{}\"}}", "x".repeat(120));
            backend.client.envelope(kind.clone(), queue.clone(), payload, EnqueueOptions::default())
        };
        for answer in backend.client.enqueue_many((0..size).map(envelope).collect()).await {
            answer?;
        }
        bar.inc(size);
        left -= size;
    }
    Ok(())
}

async fn drain(
    args: &Bench,
    config: &Config,
    backend: &Backend,
    kind: &Kind,
    queue: &QueueName,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let done = Arc::new(Semaphore::new(0));
    let (count, progress) = (Arc::clone(&done), bar.clone());
    let registry = Registry::default().with_raw(kind, JobOptions::default(), move |_| {
        count.add_permits(1);
        progress.inc(1);
        async { Ok(()) }
    });
    let plan = Plan { own: vec![(queue.clone(), args.slots as usize)], rabbit: Vec::new() };
    let name = WorkerName::new(format!("bench-{}", std::process::id())).map_err(Failure::failed)?;
    let worker: Worker =
        worker_builder(config, backend, &plan, registry, name)?.build().map_err(Failure::failed)?;
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let running = tokio::spawn(worker.run(stop));
    let jobs = u32::try_from(args.jobs).map_err(Failure::usage)?;
    let all = done.acquire_many(jobs).await.map_err(Failure::failed)?;
    all.forget();
    shutdown.quiet();
    running.await.map_err(Failure::failed)?.map(drop).map_err(Failure::failed)
}

/// Removes what the run left in the ledger.
async fn clean_up(backend: &Backend, queue: &QueueName) -> Result<(), Failure> {
    let Ok(database) = backend.database() else { return Ok(()) };
    const ATTEMPTS: &str =
        "DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM background_jobs WHERE queue = $1)";
    database.sql(ATTEMPTS).bind(queue.as_str()).run().await?;
    database.sql("DELETE FROM background_jobs WHERE queue = $1").bind(queue.as_str()).run().await?;
    Ok(())
}
