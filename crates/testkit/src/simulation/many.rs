//! Many seeds over a few threads, and what came of them.
//!
//! A seed that hangs without a call of the models can only be noticed from outside: a watcher names it and ends the
//! process.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::run::{Options, Outcome, simulate};

/// No seed takes so long, not even in a debug build on a busy machine.
const LONGEST: Duration = Duration::from_secs(180);

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many seeds were run.
    pub seeds: u64,
    /// The seeds with findings, by number, at most 100.
    pub failed: Vec<Outcome>,
    /// Jobs that were accepted.
    pub jobs: u64,
    /// Starts of handlers.
    pub starts: u64,
    /// Calls of brokers and stores.
    pub calls: u64,
    /// How long it took.
    pub time: Duration,
}

impl Tally {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.jobs += outcome.jobs as u64;
        self.starts += outcome.starts as u64;
        self.calls += outcome.calls;
        if !outcome.findings.is_empty() && self.failed.len() < 100 {
            self.failed.push(outcome);
        }
    }

    /// Whether no rule was broken.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.seeds > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.failed {
            writeln!(f, "SEED {} broke {} rules:", outcome.seed, outcome.findings.len())?;
            for finding in &outcome.findings {
                writeln!(f, "    {finding}")?;
            }
            writeln!(f, "    replay: cargo xtask simulate --from {} --seeds 1 --trace", outcome.seed)?;
        }
        writeln!(
            f,
            "{} seeds in {:.1} s: {} jobs accepted, {} starts, {} calls of brokers and stores; {} seeds failed",
            self.seeds,
            self.time.as_secs_f64(),
            self.jobs,
            self.starts,
            self.calls,
            self.failed.len()
        )
    }
}

/// Runs `count` seeds from `first` on this many threads. `progress` is told how many are done, about each second.
pub fn many(first: u64, count: u64, threads: usize, progress: impl Fn(u64) + Sync) -> Tally {
    let (next, done) = (AtomicU64::new(first), AtomicU64::new(0));
    let (began, tally) = (Instant::now(), Mutex::new(Tally::default()));
    let running: Vec<Mutex<Option<(u64, Instant)>>> = (0..threads.max(1)).map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for slot in &running {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    *held(slot) = Some((seed, Instant::now()));
                    let outcome = simulate(seed, Options::default());
                    held(&tally).add(outcome);
                    done.fetch_add(1, Ordering::Relaxed);
                }
                *held(slot) = None;
            });
        }
        while done.load(Ordering::Relaxed) < count {
            thread::sleep(Duration::from_millis(50));
            progress(done.load(Ordering::Relaxed));
            running.iter().filter_map(|slot| *held(slot)).for_each(give_up_on);
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.failed.sort_by_key(|outcome| outcome.seed);
    tally.time = began.elapsed();
    tally
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_up_on((seed, since): (u64, Instant)) {
    if since.elapsed() > LONGEST {
        eprintln!("SEED {seed} hangs; replay: cargo xtask simulate --from {seed} --seeds 1 --trace");
        std::process::abort();
    }
}
