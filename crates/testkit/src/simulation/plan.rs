//! What a seed decides before anything happens: the servers, the queues, the workers, and how bad it gets.

use std::time::Duration;

use backshift_core::{Backoff, QueueName};
use backshift_runtime::WorkerOptions;
use rand::{Rng, RngExt};

use super::line::Quality;

/// Where jobs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A broker that knows nothing of the ledger.
    Foreign,
    /// The broker whose claim is the ledger row.
    Ledger,
}

/// A queue and its slots in each worker.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) queue: QueueName,
    pub(super) source: Source,
    pub(super) slots: usize,
}

/// What a seed decides.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) queues: Vec<Line>,
    /// How many workers run at once.
    pub(super) workers: usize,
    /// Jobs that are enqueued during the storm.
    pub(super) jobs: usize,
    pub(super) storm: Duration,
    /// The longest time between two blows.
    pub(super) pause: Duration,
    pub(super) quality: Quality,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    /// The first workers do not know every kind.
    pub(super) with_fresh_kind: bool,
    /// Brokers deliver some messages twice, and in any order.
    pub(super) doubles: bool,
    pub(super) clock_steps: bool,
}

impl Plan {
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let topology = rng.random_range(0..5);
        let source = |number: usize| match topology {
            0 | 1 => Source::Foreign,
            2 | 3 => Source::Ledger,
            _ if number == 0 => Source::Foreign,
            _ => Source::Ledger,
        };
        let count = if topology == 4 { 2 } else { rng.random_range(1..4) };
        let mut queues = Vec::with_capacity(count);
        for number in 0..count {
            let queue = QueueName::new(format!("q{number}")).expect("the name is legal");
            queues.push(Line { queue, source: source(number), slots: rng.random_range(1..6) });
        }
        let lease = Duration::from_secs(if rng.random_bool(0.5) { 30 } else { 10 });
        Self {
            queues,
            workers: rng.random_range(1..4),
            jobs: rng.random_range(15..50),
            storm: Duration::from_secs(rng.random_range(60..200)),
            pause: Duration::from_secs(rng.random_range(3..15)),
            quality: quality(rng),
            lease,
            grace: Duration::from_secs(rng.random_range(2..30)),
            with_fresh_kind: rng.random_bool(0.3),
            doubles: rng.random_bool(0.5),
            clock_steps: rng.random_bool(0.3),
        }
    }

    pub(super) fn options(&self, seed: u64) -> WorkerOptions {
        WorkerOptions {
            lease: self.lease,
            grace: self.grace,
            backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(20) },
            timeout: super::script::TIMEOUT,
            max_payload: super::handlers::MAX_PAYLOAD,
            // Nobody else consumes in a world: a message that is gone was lost, and nothing may end its job as ambiguous.
            forsaken_after: Duration::from_secs(24 * 3600),
            // Some worlds hand long jobs over to the ledger.
            hand_over_after: Duration::from_secs([1, 4, 600][self.jobs % 3]),
            seed: Some(seed),
            ..WorkerOptions::default()
        }
    }
}

fn quality(rng: &mut impl Rng) -> Quality {
    let bad = [0.0, 0.01, 0.05, 0.15];
    let any = |rng: &mut dyn FnMut() -> usize| bad[rng() % bad.len()];
    let mut draw = || rng.random_range(0..4);
    let (lost, unanswered, late) = (any(&mut draw), any(&mut draw), any(&mut draw));
    let latest = Duration::from_secs(rng.random_range(1..60));
    let deadly = [0.0, 0.003, 0.03][rng.random_range(0..3)];
    Quality { lost, unanswered, late, latest, deadly }
}
