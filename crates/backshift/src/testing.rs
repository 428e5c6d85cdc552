//! Tests of your jobs without a server and without waiting: an in-memory site whose clock is yours.
//!
//! Everything here is for tests and panics when something is wrong with the site. Feature `testing`.
//!
//! ```
//! use std::time::Duration;
//! use backshift::{Client, EnqueueOptions, Job, JobContext, JobResult, Registry, State, testing};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Welcome {
//!     name: String,
//! }
//!
//! impl Job for Welcome {
//!     const KIND: &'static str = "mail.welcome";
//! }
//!
//! async fn welcome(job: Welcome, context: JobContext) -> JobResult {
//!     context.note(format!("welcomed {}", job.name));
//!     Ok(())
//! }
//!
//! /// Code of yours that enqueues.
//! async fn sign_up(client: &Client, name: &str) -> Result<(), backshift::EnqueueError> {
//!     let tomorrow = EnqueueOptions::new().delay(Duration::from_secs(24 * 3600));
//!     client.enqueue_with(&Welcome { name: name.into() }, tomorrow).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let site = testing::site();
//! sign_up(&site.client(), "Ada").await.unwrap();
//! assert_eq!(site.enqueued::<Welcome>().await[0].job, Welcome { name: "Ada".into() });
//!
//! let handlers = Registry::default().with(welcome);
//! assert!(site.drain(&handlers).await.is_empty(), "it is for tomorrow");
//! site.clock().advance(Duration::from_secs(24 * 3600));
//! let ran = site.drain(&handlers).await;
//! assert_eq!((ran[0].state, ran[0].note.as_deref()), (State::Completed, Some("welcomed Ada")));
//! # }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use backshift_core::{
    Clock, Handler, Job, JobContext, JobFilter, JobId, JobRecord, JobResult, Kind, Page, QueueName, Registry,
    State, Store, Timestamp, Token, WorkerName, context::Said,
};
use backshift_runtime::{Shutdown, Worker};
use backshift_testkit::memory::MemoryStore;

use crate::Client;

/// How long [`drain`] waits, by the machine's clock, before it says which jobs do not end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many slots a queue has while it is drained.
const SLOTS: usize = 10;
/// The rows of one look.
const PAGE: u32 = 500;

/// A site in memory. Cheap to clone; clones are the same site.
#[derive(Clone)]
pub struct TestSite {
    store: MemoryStore,
}

/// An empty site, to be made inside a tokio runtime. Its clock begins with 2026 and runs with tokio's.
pub fn site() -> TestSite {
    TestSite { store: MemoryStore::new() }
}

impl TestSite {
    /// What your code enqueues with: the same type as in production.
    ///
    /// A job enqueued in a transaction of yours goes into that transaction's database and not here: test that with
    /// [`Backshift::embedded`](crate::Backshift::embedded) on a file in a temporary directory, where [`enqueued`] and
    /// [`drain`] work as well.
    pub fn client(&self) -> Client {
        let store: Arc<dyn Store> = Arc::new(self.store.clone());
        let broker = Arc::new(self.store.broker());
        backshift_core::Client::new(broker, Some(store)).with_clock(Arc::new(self.clock())).into()
    }

    /// The site's time.
    pub fn clock(&self) -> TestClock {
        TestClock(self.store.clone())
    }

    /// The unfinished jobs of a kind; see [`enqueued`].
    pub async fn enqueued<J: Job>(&self) -> Vec<Enqueued<J>> {
        enqueued(&self.client()).await
    }

    /// Runs what is due; see [`drain`].
    pub async fn drain(&self, handlers: &Registry) -> Vec<JobRecord> {
        drain(&self.client(), handlers).await
    }

    /// One job as the site remembers it.
    pub async fn job(&self, id: JobId) -> Option<JobRecord> {
        self.store.records().into_iter().find(|job| job.id == id)
    }
}

/// The time of a [`TestSite`]: it runs with tokio's clock, and is moved by the test.
#[derive(Clone)]
pub struct TestClock(MemoryStore);

impl TestClock {
    /// Moves time forwards: what is due by then runs at the next [`drain`].
    pub fn advance(&self, time: Duration) {
        self.0.advance(time);
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A job that waits or runs.
#[derive(Debug, Clone)]
pub struct Enqueued<J> {
    /// The job.
    pub job: J,
    /// Its queue, time, priority, keys, state and the rest.
    pub record: JobRecord,
}

/// The unfinished jobs of a kind, oldest first, on any site with a store.
///
/// # Panics
/// When the client has no store, the store does not answer, or a payload is no such job.
pub async fn enqueued<J: Job>(client: &backshift_core::Client) -> Vec<Enqueued<J>> {
    let kind = sure("the job's KIND", Kind::new(J::KIND));
    let mut rows = rows(client, &kind, unfinished()).await;
    rows.sort_by_key(|row| (row.created_at, row.id));
    let typed = |record: JobRecord| {
        let payload = record.payload.clone().unwrap_or_default();
        let job = sure(&format!("job {} as {}", record.id, J::KIND), serde_json::from_slice(&payload));
        Enqueued { job, record }
    };
    rows.into_iter().map(typed).collect()
}

/// Runs, with the real engine, every job of these handlers that is due, and what those enqueue in turn, until nothing of
/// theirs is due any more; returns the jobs that were started, oldest start first. A job that failed waits for its next
/// attempt then: move the clock and drain again.
///
/// # Panics
/// When the site does not answer, or when jobs are still due after 30 seconds.
pub async fn drain(client: &backshift_core::Client, handlers: &Registry) -> Vec<JobRecord> {
    let kinds: Vec<Kind> = handlers.known().iter().cloned().collect();
    let before: BTreeMap<JobId, Token> =
        all(client, &kinds).await.into_iter().map(|job| (job.id, job.token)).collect();
    let begin = Instant::now();
    loop {
        let due = due(client, &kinds).await;
        if due.is_empty() {
            break;
        }
        let queues = due.iter().map(|job| job.queue.clone()).collect();
        work(client, handlers, &kinds, queues, begin).await;
    }
    let mut ran = all(client, &kinds).await;
    ran.retain(|job| before.get(&job.id).copied().unwrap_or(Token(0)) < job.token);
    ran.sort_by_key(|job| (job.started_at, job.id));
    ran
}

/// One worker, until nothing is due in these queues.
async fn work(
    client: &backshift_core::Client,
    handlers: &Registry,
    kinds: &[Kind],
    queues: BTreeSet<QueueName>,
    begin: Instant,
) {
    let name = sure("the worker", WorkerName::new(format!("drain-{}", JobId::generate())));
    let mut builder = Worker::builder()
        .name(name)
        .broker(Arc::clone(client.broker()))
        .store(store(client))
        .clock(Arc::clone(client.clock()))
        .endings(client.endings().clone())
        .registry(handlers.clone())
        .without_advice();
    for queue in &queues {
        builder = builder.pool(queue.clone(), SLOTS);
    }
    let worker = sure("the worker", builder.build());
    let shutdown = Shutdown::new();
    let watching = async {
        let mut pause = Duration::from_millis(1);
        loop {
            let due: Vec<_> =
                due(client, kinds).await.into_iter().filter(|job| queues.contains(&job.queue)).collect();
            if due.is_empty() {
                return shutdown.quiet();
            }
            assert!(begin.elapsed() < PATIENCE, "still due after {PATIENCE:?}: {}", named(&due));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    };
    let (drained, ()) = tokio::join!(worker.run(shutdown.clone()), watching);
    sure("the worker", drained);
}

fn named(jobs: &[JobRecord]) -> String {
    let name = |job: &JobRecord| {
        format!("{} {} ({}, {:?})", job.kind, job.id, job.state.as_str(), job.error.as_deref().unwrap_or(""))
    };
    jobs.iter().take(5).map(name).collect::<Vec<_>>().join("; ")
}

fn unfinished() -> impl Iterator<Item = State> {
    State::ALL.into_iter().filter(|state| !state.is_final())
}

/// The jobs of these kinds that run, or may run now.
async fn due(client: &backshift_core::Client, kinds: &[Kind]) -> Vec<JobRecord> {
    let mut due = Vec::new();
    for kind in kinds {
        due.extend(rows(client, kind, unfinished()).await);
    }
    let now = client.clock().now();
    due.retain(|job| matches!(job.state, State::Available | State::Running) || job.run_at <= now);
    due
}

async fn all(client: &backshift_core::Client, kinds: &[Kind]) -> Vec<JobRecord> {
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(rows(client, kind, State::ALL.into_iter()).await);
    }
    found
}

async fn rows(
    client: &backshift_core::Client,
    kind: &Kind,
    states: impl Iterator<Item = State>,
) -> Vec<JobRecord> {
    let store = store(client);
    let mut rows: Vec<JobRecord> = Vec::new();
    for state in states {
        let filter = JobFilter { kind: Some(kind.clone()), state: Some(state), ..JobFilter::default() };
        let mut after = None;
        loop {
            let page = sure("the store", store.list(&filter, &Page { after, limit: PAGE }).await);
            after = page.last().map(|job| job.id).filter(|_| page.len() == PAGE as usize);
            rows.extend(page);
            if after.is_none() {
                break;
            }
        }
    }
    rows
}

fn store(client: &backshift_core::Client) -> Arc<dyn Store> {
    match client.store() {
        Some(store) => Arc::clone(store),
        None => panic!("this client has no store: nobody remembers its jobs"),
    }
}

/// What a handler made of a job.
#[derive(Debug)]
pub struct Ran {
    /// What it returned.
    pub result: JobResult,
    /// Progress, output and note that it left.
    pub said: Said,
}

/// Runs a handler on a job here and now, as a first attempt, through the job's JSON. No site is needed.
///
/// ```
/// # use backshift::{Job, JobContext, JobError, JobResult, Verdict, testing};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Charge { cents: i64 }
/// # impl Job for Charge { const KIND: &'static str = "charge"; }
/// async fn charge(job: Charge, _: JobContext) -> JobResult {
///     match job.cents {
///         ..0 => Err(JobError::permanent("a negative amount")),
///         _ => Ok(()),
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert!(testing::run_now(&charge, &Charge { cents: 5 }).await.result.is_ok());
/// let refused = testing::run_now(&charge, &Charge { cents: -5 }).await.result.unwrap_err();
/// assert!(matches!(refused.verdict(), Verdict::DeadLetter(_)));
/// # }
/// ```
///
/// # Panics
/// When the job is not the same after it was written as JSON and read again, or the handler panics.
pub async fn run_now<J: Job>(handler: &impl Handler<J>, job: &J) -> Ran {
    run_in(handler, JobContext::for_test(job)).await
}

/// The same in a context of the test's making: another attempt, headers, a wish to stop.
///
/// # Panics
/// As [`run_now`].
pub async fn run_in<J: Job>(handler: &impl Handler<J>, context: JobContext) -> Ran {
    let job: J = sure("the job from its JSON", serde_json::from_slice(&context.envelope().payload));
    let result = handler.handle(job, context.clone()).await;
    Ran { result, said: context.said() }
}

fn sure<T>(what: &str, answer: Result<T, impl Display>) -> T {
    match answer {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}
