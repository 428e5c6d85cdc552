//! The numbers of a worker and of a pool, with the defaults that the contracts name.
//!
//! A kind's own [`JobOptions`](backshift_core::JobOptions) always win over these.

use std::time::Duration;

use backshift_core::Backoff;

/// The numbers of a worker process.
///
/// ```
/// # use backshift_runtime as backshift;
/// use std::time::Duration;
/// use backshift::WorkerOptions;
///
/// let options = WorkerOptions { grace: Duration::from_secs(60), max_attempts: 5, ..WorkerOptions::default() };
/// assert_eq!(options.lease, Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerOptions {
    /// How long a claim in the ledger holds without a heartbeat; heartbeats come at a third of it.
    pub lease: Duration,
    /// How long a drain may take in all before the rest goes back.
    pub grace: Duration,
    /// Attempts for kinds without a number of their own.
    pub max_attempts: u32,
    /// The hard limit of one attempt for kinds without their own.
    pub timeout: Duration,
    /// Back-off for kinds without their own.
    pub backoff: Backoff,
    /// How long a handler may go on after it was told to stop, before it is aborted.
    pub handler_grace: Duration,
    /// Larger payloads go to the dead letters whole, in bytes (docs/contracts/system-c.md, "Size").
    pub max_payload: usize,
    /// Finish every kind as durably as an effect.
    pub strict: bool,
    /// A queue with waiting jobs and free slots that yields nothing for this long counts as stuck.
    pub stuck_after: Duration,
    /// End [`Worker::run`](crate::Worker::run) with an error when a queue stays stuck after its consumer was rebuilt.
    pub exit_when_stuck: bool,
    /// How long a job that must run alone waits for its neighbours to end before it goes back, uncounted, for another
    /// worker. Twice as long each time, up to the time-out.
    pub lonely_patience: Duration,
    /// How long after the end of its lease, or after its time, a job of a foreign broker is given up whose message the
    /// broker has no more.
    pub forsaken_after: Duration,
    /// How long a job of a foreign broker runs before the ledger alone keeps it and its message is acknowledged: brokers take
    /// back what is not acknowledged for too long. Only with a store, and only what it may keep whole.
    pub hand_over_after: Duration,
    /// How long completed and cancelled rows are kept; a day at least.
    pub keep_finished: Duration,
    /// How long dead rows are kept, a day at least; `None` = for ever.
    pub keep_dead: Option<Duration>,
    /// Seeds the jitter, so that a simulation repeats itself; `None` = random.
    pub seed: Option<u64>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            max_attempts: 25,
            timeout: Duration::from_secs(30 * 60),
            backoff: Backoff::default(),
            handler_grace: Duration::from_secs(2),
            max_payload: 16 * 1024 * 1024,
            strict: false,
            stuck_after: Duration::from_secs(30),
            exit_when_stuck: true,
            lonely_patience: Duration::from_secs(5),
            forsaken_after: Duration::from_secs(10 * 60),
            hand_over_after: Duration::from_secs(10 * 60),
            keep_finished: Duration::from_secs(7 * 24 * 3600),
            keep_dead: Some(Duration::from_secs(90 * 24 * 3600)),
            seed: None,
        }
    }
}

/// The numbers of one pool.
///
/// ```
/// # use backshift_runtime as backshift;
/// use backshift::PoolOptions;
///
/// // Short jobs over a network: ten more are on their way while twenty run.
/// let eager = PoolOptions { lookahead: 10, ..PoolOptions::slots(20) };
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// How many jobs run at once.
    pub slots: usize,
    /// How many deliveries the broker may hand over beyond the free slots. 0 keeps slow jobs from holding fast ones.
    pub lookahead: usize,
}

impl PoolOptions {
    /// This many slots and no look-ahead; a worker with 0 is refused when it is built.
    pub fn slots(slots: usize) -> Self {
        Self { slots, lookahead: 0 }
    }
}
