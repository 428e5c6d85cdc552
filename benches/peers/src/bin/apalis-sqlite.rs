//! `apalis-sqlite FILE JOBS`: the crate `apalis-sqlite`, batches as large as Backshift's, without its lock step.
//!
//! Fills, prints `filled`, waits for a line, drains, prints `handled`, and ends when its standard input ends. Its own
//! `setup` would turn syncing off; here the file has the settings of the other arms.

use std::{
    io::{BufRead, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use serde::{Deserialize, Serialize};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Notify;

/// Jobs of one fetch and handlers at once.
const BATCH: usize = 256;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noop {
    n: usize,
    pad: String,
}

/// One mark a job.
#[derive(Clone)]
struct Seen(Arc<(Vec<AtomicU64>, AtomicU64, Notify)>);

async fn handle(job: Noop, seen: Data<Seen>) -> Result<(), BoxDynError> {
    let Seen(marks) = &*seen;
    let (runs, count, all) = &**marks;
    runs[job.n].fetch_add(1, Ordering::Relaxed);
    if count.fetch_add(1, Ordering::Relaxed) + 1 == runs.len() as u64 {
        all.notify_one();
    }
    Ok(())
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("apalis-sqlite FILE JOBS")?;
    let jobs: usize = arguments.next().context("apalis-sqlite FILE JOBS")?.parse()?;
    let pool = connect(&file).await?;
    SqliteStorage::migrations().run(&pool).await?;
    let config = Config::default().queue("bench").batch_size(BATCH).lock_tasks(false);
    let mut storage = SqliteStorage::<Noop>::new(&pool).with_config(config);
    for number in 0..jobs {
        let begin = format!("{{\"n\":{number},\"pad\":\"\"}}").len();
        storage.push(Noop { n: number, pad: "x".repeat(150 - begin) }).await?;
    }
    let seen = Seen(Arc::new(((0..jobs).map(|_| AtomicU64::new(0)).collect(), AtomicU64::new(0), Notify::new())));
    say("filled")?;
    std::io::stdin().lock().read_line(&mut String::new())?;
    let worker = WorkerBuilder::new("bench")
        .backend(storage.poll_with_interval(Duration::from_millis(5)))
        .data(seen.clone())
        .concurrency(BATCH)
        .build(handle);
    let running = tokio::spawn(async move { worker.run().await });
    seen.0.2.notified().await;
    say("handled")?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    running.abort();
    ensure!(seen.0.0.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "a job ran twice or never");
    Ok(())
}

async fn connect(file: &str) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(5))
        .pragma("wal_autocheckpoint", "4000")
        .pragma("cache_size", "-16000");
    Ok(SqlitePoolOptions::new().max_connections(4).connect_with(options).await?)
}

fn say(word: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}")?;
    Ok(out.flush()?)
}
