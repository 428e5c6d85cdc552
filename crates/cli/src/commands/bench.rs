//! `backshift bench`: how fast your own servers take and drain jobs that do nothing.
//!
//! Bounded, on a queue of its own that no other worker knows. What it made is removed at its end, also when it fails
//! or is told to stop; only a kill leaves something, and then the queue's name says what it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_core::{
    Bytes, EnqueueOptions, Envelope, JobOptions, Kind, QueueName, Registry, Timestamp, WorkerName,
};
use backshift_runtime::{Shutdown, Worker};
use backshift_store::{Database, Sql};
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    config::Config,
    exit::Failure,
    output,
    signals::Stops,
    wiring::{Backend, Plan, worker_builder},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Jobs of one round, up to a million.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    jobs: u64,
    /// Rounds, each enqueued and drained; the median is printed with the spread.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
    /// Slots of the worker.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    slots: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const KIND: &str = "backshift.bench";
const BATCH: u64 = 500;
/// Single enqueues whose time is taken, and how long they may take in all.
const SINGLES: (usize, Duration) = (100, Duration::from_secs(5));
/// Rows of one DELETE.
const PIECE: u32 = 2_000;

/// Begins with the oldest row that may be ours, so that no other row is looked at. `$1` time, `$2` queue, `$3` at most.
const DELETE: Sql = Sql {
    pg: "WITH made AS MATERIALIZED (SELECT id FROM background_jobs WHERE created_at >= $1 AND queue = $2 \
         ORDER BY created_at LIMIT $3), \
         starts AS (DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM made)) \
         DELETE FROM background_jobs WHERE id IN (SELECT id FROM made)",
    sqlite: "DELETE FROM background_jobs WHERE rowid IN (SELECT rowid FROM background_jobs \
             WHERE created_at >= $1 AND queue = $2 ORDER BY created_at LIMIT $3)",
};
/// On SQLite the starts go first.
const DELETE_STARTS: &str = "DELETE FROM job_attempts WHERE job_id IN (SELECT id FROM background_jobs \
     WHERE created_at >= $1 AND queue = $2 ORDER BY created_at LIMIT $3)";

/// One run on one queue.
struct Run<'a> {
    args: &'a Args,
    config: &'a Config,
    backend: &'a Backend,
    kind: Kind,
    queue: QueueName,
    bar: ProgressBar,
    /// Quiet when it shall end.
    stop: Shutdown,
}

/// What one round showed.
struct Round {
    enqueued: f64,
    drained: f64,
}

/// Times of single enqueues in milliseconds, sorted.
struct Singles(Vec<f64>);

/// Measures, removes what was made, prints.
pub(super) async fn run(args: &Args, config: &Config, backend: &Backend) -> Result<(), Failure> {
    let mut stops = Stops::listen()?;
    let name = format!("backshift-bench-{}", uuid::Uuid::now_v7().simple());
    let run = Run {
        args,
        config,
        backend,
        kind: Kind::new(KIND).map_err(Failure::failed)?,
        queue: QueueName::new(name).map_err(Failure::failed)?,
        bar: ProgressBar::new(args.jobs * args.rounds * 2),
        stop: Shutdown::new(),
    };
    let began = run.database_time().await?;
    let mut measuring = std::pin::pin!(run.measure());
    let measured = tokio::select! {
        measured = &mut measuring => measured,
        () = stops.next() => {
            // Not dropped: what is on its way to the queue would arrive there after the removal.
            run.stop.quiet();
            measuring.await
        }
    };
    run.bar.finish_and_clear();
    tokio::select! {
        removed = run.remove(began) => removed?,
        () = stops.next() => return Err(Failure::failed(format!("queue {} was not removed", run.queue))),
    }
    let (singles, rounds) = measured?;
    match args.json {
        true => output::json(&run.json(&singles, &rounds)),
        false => run.print(&singles, &rounds),
    }
    Ok(())
}

fn stopped() -> Failure {
    Failure::failed("stopped; what it had enqueued is removed")
}

impl Run<'_> {
    /// The rounds, and before them single enqueues. Told to stop, it ends when its last enqueue is answered.
    async fn measure(&self) -> Result<(Singles, Vec<Round>), Failure> {
        let singles = self.singles().await?;
        self.drain(singles.0.len() as u64).await?;
        let mut rounds = Vec::new();
        for _ in 0..self.args.rounds {
            let enqueued = self.enqueue().await?;
            let drained = self.drain(self.args.jobs).await?;
            let rate = |time: Duration| self.args.jobs as f64 / time.as_secs_f64();
            rounds.push(Round { enqueued: rate(enqueued), drained: rate(drained) });
        }
        Ok((singles, rounds))
    }

    /// One caller that waits for each answer: what a request that enqueues one job waits for.
    async fn singles(&self) -> Result<Singles, Failure> {
        let (most, end) = (SINGLES.0, Instant::now() + SINGLES.1);
        let mut times = Vec::with_capacity(most);
        while times.len() < most && Instant::now() < end {
            self.go_on()?;
            let before = Instant::now();
            self.backend.client.enqueue_raw(self.job(0)).await?;
            times.push(before.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        Ok(Singles(times))
    }

    async fn enqueue(&self) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut left = self.args.jobs;
        while left > 0 {
            self.go_on()?;
            let size = left.min(BATCH);
            for answer in self.backend.client.enqueue_many((0..size).map(|n| self.job(n)).collect()).await {
                answer?;
            }
            self.bar.inc(size);
            left -= size;
        }
        Ok(began.elapsed())
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.is_quiet() { Err(stopped()) } else { Ok(()) }
    }

    fn job(&self, number: u64) -> Envelope {
        let payload = format!("{{\"n\":{number},\"filler\":\"{}\"}}", "x".repeat(120));
        let options = EnqueueOptions::default();
        self.backend.client.envelope(self.kind.clone(), self.queue.clone(), Bytes::from(payload), options)
    }

    /// Until the worker has drained: every result is durable then.
    async fn drain(&self, jobs: u64) -> Result<Duration, Failure> {
        let done = Arc::new(Semaphore::new(0));
        let (count, progress) = (Arc::clone(&done), self.bar.clone());
        let registry = Registry::default().with_raw(&self.kind, JobOptions::default(), move |_| {
            count.add_permits(1);
            progress.inc(1);
            async { Ok(()) }
        });
        let worker = self.worker(registry)?;
        let shutdown = Shutdown::new();
        let began = Instant::now();
        let mut working = std::pin::pin!(worker.run(shutdown.clone()));
        let all = u32::try_from(jobs).map_err(Failure::usage)?;
        tokio::select! {
            ended = &mut working => {
                ended.map_err(Failure::failed)?;
                return Err(Failure::failed("the worker ended before the jobs did"));
            }
            all = done.acquire_many(all) => all.map_err(Failure::failed)?.forget(),
            () = self.stop.quieted() => return Err(stopped()),
        }
        shutdown.quiet();
        working.await.map_err(Failure::failed)?;
        Ok(began.elapsed())
    }

    fn worker(&self, registry: Registry) -> Result<Worker, Failure> {
        let plan = Plan { own: vec![(self.queue.clone(), self.args.slots as usize)], beside: Vec::new() };
        let name = WorkerName::new(format!("bench-{}", std::process::id())).map_err(Failure::failed)?;
        worker_builder(self.config, self.backend, &plan, registry, name)?.build().map_err(Failure::failed)
    }

    /// The database's own time, because rows carry it; nothing without a store.
    async fn database_time(&self) -> Result<Option<Timestamp>, Failure> {
        let Ok(database) = self.backend.database() else { return Ok(None) };
        let now = "SELECT clock_timestamp()";
        Ok(Some(database.sql(now).one::<Timestamp>().await?))
    }

    /// Removes the queue and its rows, in pieces: a million rows in one statement would take too long.
    async fn remove(&self, began: Option<Timestamp>) -> Result<(), Failure> {
        self.backend.broker.remove(&self.queue).await?;
        if let (Some(began), Ok(database)) = (began, self.backend.database()) {
            while self.remove_piece(database, began).await? == u64::from(PIECE) {}
        }
        Ok(())
    }

    async fn remove_piece(&self, database: &Database, began: Timestamp) -> Result<u64, Failure> {
        let piece = |text: Sql| database.sql(text).bind(began).bind(self.queue.as_str()).bind(PIECE).run();
        if let Database::Sqlite(_) = database {
            piece(DELETE_STARTS.into()).await?;
        }
        Ok(piece(DELETE).await?)
    }

    fn json(&self, singles: &Singles, rounds: &[Round]) -> serde_json::Value {
        let (enqueue, drain) = (rates(rounds, |round| round.enqueued), rates(rounds, |round| round.drained));
        json!({
            "broker": self.backend.broker.name(), "jobs": self.args.jobs, "slots": self.args.slots,
            "enqueue_per_second": median(&enqueue).round(), "drain_per_second": median(&drain).round(),
            "single_enqueue_ms": { "p50": singles.at(50), "p99": singles.at(99) },
            "rounds": rounds.iter().map(|round| json!({
                "enqueue_per_second": round.enqueued.round(), "drain_per_second": round.drained.round(),
            })).collect::<Vec<_>>(),
        })
    }

    fn print(&self, singles: &Singles, rounds: &[Round]) {
        let (jobs, broker) = (self.args.jobs, self.backend.broker.name());
        output::line(format!(
            "{} rounds of {jobs} jobs on {broker}, {} slots",
            rounds.len(),
            self.args.slots
        ));
        let line = |word: &str, all: &[f64], what: &str| {
            let (least, most) = (all.first().unwrap_or(&0.0), all.last().unwrap_or(&0.0));
            output::line(format!("{word} {:>9.0} jobs/s ({least:.0} to {most:.0}), {what}", median(all)));
        };
        let batches = format!("batches of {BATCH}, each answered when durable");
        line("enqueue", &rates(rounds, |round| round.enqueued), &batches);
        line("drain  ", &rates(rounds, |round| round.drained), "until the last result is durable");
        let (half, most) = (singles.at(50), singles.at(99));
        output::line(format!(
            "one job {half:>9.2} ms, 99 of 100 within {most:.2} ms: one caller, one enqueue at a time"
        ));
    }
}

impl Singles {
    /// So many per cent took at most this long.
    fn at(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).map_or(0.0, |time| (time * 1000.0).round() / 1000.0)
    }
}

/// Sorted.
fn rates(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Vec<f64> {
    let mut rates: Vec<f64> = rounds.iter().map(of).collect();
    rates.sort_by(f64::total_cmp);
    rates
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (Some(upper), Some(lower)) if sorted.len().is_multiple_of(2) => f64::midpoint(*upper, *lower),
        (Some(middle), _) => *middle,
        (None, _) => 0.0,
    }
}
