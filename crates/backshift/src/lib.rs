//! Backshift for your Cargo.toml: typed jobs, a client, a worker, on the queue that you have.
//!
//! ```no_run
//! use backshift::{Backshift, Job, JobContext, JobResult, Registry, stop_signal};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Resize {
//!     picture: u64,
//!     width: u32,
//! }
//!
//! impl Job for Resize {
//!     const KIND: &'static str = "picture.resize"; // its name on the wire: the type may be renamed, this may not
//! }
//!
//! async fn resize(job: Resize, context: JobContext) -> JobResult {
//!     println!("attempt {}: picture {} to {}", context.attempt(), job.picture, job.width);
//!     Ok(()) // `?` on any error = try again later
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let site = Backshift::embedded("jobs.db").await?; // one file, no server
//!     site.client().enqueue(&Resize { picture: 7, width: 640 }).await?;
//!     let worker = site.worker(Registry::default().with(resize)).pool("default", 10)?;
//!     worker.run(stop_signal()).await?; // until Ctrl-C or SIGTERM, then it drains
//!     Ok(())
//! }
//! ```
//!
//! In production the first line is [`Backshift::postgres`], [`Backshift::rabbitmq`] or, for URLs from a configuration,
//! [`Backshift::open`], and nothing else changes.
//!
//! # The map
//!
//! | you want to | look at |
//! |---|---|
//! | say what a job is | [`Job`], [`JobOptions`], [`Backoff`] |
//! | do it | [`Handler`] (any `async fn(MyJob, JobContext) -> JobResult`), [`JobContext`], [`JobError`] |
//! | enqueue: now, later, once | [`Client`], [`EnqueueOptions`], [`UniqueKey`] |
//! | enqueue in a transaction of yours | [`Client::enqueue_in`]: sqlx, SeaORM, diesel-async, tokio-postgres, rusqlite |
//! | an effect in your database exactly once | [`finish_in`] |
//! | work | [`Registry`], [`Backshift::worker`], [`Shift`], [`stop_signal`] |
//! | by the calendar | [`Schedule`], [`Shift::cron`] |
//! | spare a service | [`Shift::limit`], [`Shift::places`], [`Shift::breaker`] |
//! | code around every attempt | [`Middleware`], [`EnqueueMiddleware`] |
//! | hear how a job ended | [`Client::wait`](vocabulary::Client::wait), [`Client::ends`](vocabulary::Client::ends) |
//! | look at jobs, cancel, run again | [`Backshift::store`], [`store::Jobs`](vocabulary::store::Jobs) |
//! | see and steer them in a browser | [`ui`](#features), `backshift ui` |
//! | test | [`testing`](#features), [`JobContext::for_test`] |
//! | kill your workers on purpose and count | [`testkit`](#features) |
//! | another broker, an adapter of your own | [`brokers`], [`vocabulary`] |
//!
//! The guide is `docs/guides/library.md` in the repository, every chapter of it compiled; `examples/` has a program a
//! question; `docs/spec/` has what is promised, one numbered rule and one test each.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `embedded` (on by default) | sites in a SQLite file: [`Backshift::embedded`], `embedded:` and `sqlite:` URLs of [`Backshift::open`]; transactions of rusqlite |
//! | `postgres` | sites in PostgreSQL: [`Backshift::postgres`], `postgres:` URLs; transactions of tokio-postgres and deadpool-postgres |
//! | `rabbitmq` | queues on RabbitMQ: [`Backshift::rabbitmq`], `amqp:` URLs; what remembers their jobs is one of the two above |
//! | `sqlx`, `sea-orm`, `diesel` | transactions of these carry [`Client::enqueue_in`] and [`finish_in`]; the databases that they know are on with them |
//! | `mail` | [`mail`]: what builds and sends mails; [`domains::mail`]: the job `email.send` |
//! | `identity`, `probe` | the other ready-made [`domains`]: accounts with one-time codes, and the job that makes promises checkable |
//! | `ui` | `backshift::ui::router`: the pages, nested in a program that speaks axum |
//! | `testing` | `backshift::testing`: an in-memory site with a clock of yours |
//! | `testkit` | that, the conformance suites, private servers and the fault runner |
//!
//! A URL whose feature is off is refused with its name. What is not asked for is not compiled: `embedded` alone is 101 packages without
//! AMQP, PostgreSQL, TLS or a web server, `postgres` is 41 more.
//!
//! Needs Rust 1.95 or newer; with `embedded` a C compiler, because SQLite is built from source. (`ring`, under every TLS of
//! `postgres`, `rabbitmq` and `mail`, needs one too.) Handlers run on tokio.

mod client;
mod open;
mod opening;
mod shift;
mod signals;
mod site;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "ui")]
pub mod ui;

pub use client::Client;
pub use open::OpenError;
pub use opening::Opening;
pub use shift::Shift;
pub use signals::stop_signal;
pub use site::Backshift;

pub use backshift_core::{
    Accepted, AttemptRecord, Backoff, BrokerError, BrokerName, Bytes, Clock, Ended, Endings, Ends,
    EnqueueError, EnqueueOptions, Envelope, Handler, Headers, InvalidName, Job, JobContext, JobError,
    JobFilter, JobId, JobOptions, JobRecord, JobResult, Kind, ManualClock, Page, QueueCounts, QueueName,
    Reason, Registry, State, StoreError, SystemClock, Timestamp, UniqueKey, UniquePolicy, Verdict,
    WorkerName, context::Said,
};
pub use backshift_core::{EnqueueMiddleware, Middleware, Next, NextEnqueue};
pub use backshift_runtime::{
    Cron, Drained, Guarantee, InvalidSchedule, Missed, Overlap, PoolOptions, Readiness, RunError, Schedule,
    Shutdown, Worker, WorkerBuilder, WorkerOptions,
};

/// The numbers of the limits and breakers.
pub use backshift_core::store::{BreakerPolicy, Rate};

/// What carries a transaction of another library.
pub use backshift_store::foreign::ForeignTx;

/// An effect in your database that happens once.
///
/// ```
/// # use backshift::Job;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Credit { account: String, cents: i64 }
/// # impl Job for Credit { const KIND: &'static str = "account.credit"; }
/// use backshift::{Handler, JobContext, JobResult, finish_in, store::Database};
///
/// struct Crediter {
///     database: Database, // or a pool of sqlx, SeaORM, diesel-async, tokio-postgres
/// }
///
/// impl Handler<Credit> for Crediter {
///     async fn handle(&self, job: Credit, context: JobContext) -> JobResult {
///         let mut tx = self.database.begin().await?;
///         let text = "UPDATE accounts SET cents = cents + $1 WHERE name = $2";
///         tx.sql(text).bind(job.cents).bind(job.account.as_str()).run().await?;
///         finish_in(&mut tx, &context).await?; // refused when somebody else holds the job by now
///         tx.commit().await?;
///         Ok(())
///     }
/// }
/// ```
pub use backshift_store::foreign::finish_in;

/// The same for a transaction of rusqlite, which is synchronous: pass `&tx`.
#[cfg(feature = "embedded")]
pub use backshift_store::foreign::finish_with;

/// Tells a handler to stop; part of [`JobContext::new`](backshift_core::JobContext::new).
pub use tokio_util::sync::CancellationToken;

/// Ids of users and jobs are UUIDs.
pub use uuid::Uuid;

/// Ready-made code around attempts and enqueues. [`Shift`] puts the breaker, the limits and the spans where they belong by
/// itself.
pub mod middleware {
    pub use backshift_core::middleware::{EnqueueMiddleware, Middleware, Next, NextEnqueue};
    pub use backshift_runtime::middleware::{
        Breaker, Concurrency, Metrics, PublishMetrics, RateLimit, Trace,
    };
}

/// The database layer, for effects in a transaction with the job's completion.
pub use backshift_store as store;

/// Every word of the engine and its two ports, for adapters and for programs that put a worker together by hand.
pub use backshift_core as vocabulary;

/// What builds mails, sends them over SMTP and says what a server's answer means. Feature `mail`.
#[cfg(feature = "mail")]
pub use backshift_mail as mail;

/// Ready-made jobs with their tables, one folder each: features `mail`, `identity` and `probe`.
#[cfg(any(feature = "mail", feature = "probe"))]
pub use backshift_domains as domains;

/// For tests: conformance suites, planted faults, private servers, and [`survival`](testkit::survival), which kills
/// workers with your own handlers under load and counts what became of every job. Feature `testkit`.
#[cfg(feature = "testkit")]
pub use backshift_testkit as testkit;

/// The adapters, for brokers that are put together by hand.
pub use backshift_brokers as brokers;

/// The README's program, compiled with the documentation tests. The guide's is in `tests/guide`.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
