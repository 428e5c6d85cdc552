//! The port that remembers jobs, cut by concern so that each part stays small.
//!
//! Every result carries a lease; the store compares its token and answers [`Settled::Stale`] to a worker that
//! was presumed dead. All times are the store's own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{
    Accepted, AttemptRecord, EffectState, EffectStatus, Envelope, JobFilter, JobId, JobRecord, Kind, Lease,
    Page, QueueCounts, QueueName, Settled, Settlement, State, WorkerName, record::Found, sweep::Sweeps,
};

pub use crate::policy::{BreakerPolicy, Rate};
pub use crate::presence::{Harm, Liveness, ParkedKind, Trouble, Watched, WorkerRecord};
pub use crate::record::Forsaken;

/// Everything a store does.
pub trait Store:
    Ledger + Jobs + Queues + Maintenance + Schedules + Limits + Breakers + Effects + Outbox + Sweeps
{
    /// `postgres` or `sqlite`.
    fn name(&self) -> &'static str;
}

/// What a store answered, phrased as what to do next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away or busy; nothing is known to have happened. Look it up before a second try.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The lease is over: somebody else holds the job, or it is finished.
    #[error("the lease on this job is over; another worker holds it or it is finished")]
    Stale,
    /// There is no such row.
    #[error("not found: {0}")]
    NotFound(String),
    /// The request cannot succeed as it is: the text names the value and the remedy.
    #[error("{0}")]
    Rejected(String),
    /// A row with such a value is there already, and a rule of the database forbids a second one.
    #[error("{text}")]
    Taken {
        /// The rule as the database names it: PostgreSQL the constraint or index (`users_pkey`), SQLite the columns (`users.id`).
        rule: String,
        /// What the database says.
        text: String,
    },
    /// The store refuses this program whatever it asks: a password, a right, a file that cannot be written. A person
    /// must act; no job is to blame, and none may be settled because of it.
    #[error("{0}")]
    Unusable(String),
    /// The schema is not the one that this program needs.
    #[error("{0}")]
    Schema(String),
}

impl StoreError {
    /// Whether the same call may succeed later by itself.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether what was asked for cannot succeed as it is, whoever asks for it.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Taken { .. })
    }

    /// Whether the store is to blame and not what was asked of it: work waits then, and no attempt counts.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unusable(_) | Self::Schema(_))
    }
}

/// Who claims, and for how long a claim holds without a heartbeat.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The process.
    pub worker: WorkerName,
    /// The lease's length.
    pub lease: Duration,
}

/// A delivery of a foreign broker that asks for its right to run.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The job as delivered; its row is made when there is none.
    pub envelope: Envelope,
    /// The broker that moves it.
    pub broker: &'static str,
    /// The broker handed it out before: the previous holder lost its connection, so a running row is taken over.
    pub redelivered: bool,
    /// It carried no id: when redelivered, it is matched by body hash with one row whose message is not known to be gone.
    pub anonymous: bool,
    /// Jobs whose delivery the asking process holds: none of them is this redelivery.
    pub except: Vec<JobId>,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// Run it under this lease. Its id may differ from an anonymous delivery's id: use the lease's.
    Run(Start),
    /// It is over (done before, cancelled, dead): only ack.
    Over(State),
    /// Somebody holds it for about this long: put it back uncounted.
    Held(Duration),
    /// It waits for its time for so long: put it back uncounted for that long.
    Early(Duration),
    /// It runs, and the ledger alone keeps it ([`Ledger::hand_over`]): the message is left over, only ack.
    Kept,
    /// Another payload, kind, queue or broker was accepted under this id: dead letter with reason `id-conflict`.
    Conflict,
    /// The message without an id is a delivery of this job, of which the inner answer speaks.
    Known(JobId, Box<Claimed>),
}

/// One start of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The right to finish it.
    pub lease: Lease,
    /// 1 + counted failures.
    pub attempt: u32,
    /// How often it was started, this time included.
    pub starts: u32,
    /// Leases that ended without a result; from the third on the job runs alone in its process.
    pub crashes: u32,
    /// The job's own limit of attempts, if it has one.
    pub max_attempts: Option<u32>,
}

/// The crash count from which a job runs alone in its process.
pub const CRASHES_BEFORE_ALONE: u32 = 3;
/// The number of lonely crashes after which a job is dead with reason `crash-loop`.
pub const LONELY_CRASHES_BEFORE_DEAD: u32 = 20;

impl Start {
    /// Whether nothing else may run in the process beside it.
    pub fn runs_alone(&self) -> bool {
        self.crashes >= CRASHES_BEFORE_ALONE
    }
}

/// A lease and what became of it.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Whose result it is.
    pub lease: Lease,
    /// The result.
    pub settlement: Settlement,
    /// Whether it must be on disk before it is answered, because a message is acknowledged then. If not, a crash of
    /// the database's machine may take it back, and the job runs again.
    pub durable: bool,
}

/// A sign of life for one running job.
#[derive(Debug, Clone)]
pub struct Beat {
    /// Which job.
    pub lease: Lease,
    /// Per cent and a word, when they changed.
    pub progress: Option<(u8, String)>,
}

/// A running job of a foreign broker whose message is to be let go.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// Who runs it.
    pub lease: Lease,
    /// Its whole body, for a row that does not have it.
    pub payload: Bytes,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// The lease holds until then.
    Until(Timestamp),
    /// A person asked to cancel: stop the handler; the lease holds.
    CancelRequested,
    /// The lease is over: stop the handler, its result will be refused.
    Lost,
}

/// Hears that something may have changed, in this process and, where the database can tell, in others. A hint may be
/// lost, so whoever waits looks now and then all the same.
#[async_trait]
pub trait Hints: Send {
    /// Waits for a hint, at most so long; `true` = one came. A hint since the last call counts. One about a time counts
    /// only when that time is before `next`, for which this caller wakes anyway.
    async fn wait(&mut self, next: Option<Timestamp>, at_most: Duration) -> bool;
}

/// Hears nothing: a store without hints is asked again and again.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHints;

#[async_trait]
impl Hints for NoHints {
    async fn wait(&mut self, _: Option<Timestamp>, at_most: Duration) -> bool {
        tokio::time::sleep(at_most).await;
        false
    }
}

/// Starts and results.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Claims many deliveries of a foreign broker; one answer each, in order.
    async fn claim(&self, holder: &Holder, batch: Vec<ClaimRequest>) -> Result<Vec<Claimed>, StoreError>;

    /// Writes many results; one answer each, in order. A result whose token is not the row's is `Stale`; a job
    /// that its own transaction completed under this token is `Applied`. A completion `in_transaction` whose row
    /// still runs did not commit: the row goes back as a counted failure and the answer is `Stale`, so that nobody
    /// acks the message of a job that has to run again.
    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Settled>, StoreError>;

    /// The broker confirmed that the messages of these jobs are settled; they carry no id. No redelivery is theirs any
    /// more. Without this word, an ended job answers whatever redelivery looks like its message.
    async fn gone(&self, jobs: Vec<JobId>) -> Result<(), StoreError>;

    /// Extends many leases at once and brings back wishes to cancel.
    async fn beat(&self, holder: &Holder, beats: Vec<Beat>) -> Result<Vec<Pulse>, StoreError>;

    /// Which of this worker's running jobs somebody asked to cancel. Looks and extends nothing.
    async fn unwanted(&self, worker: &WorkerName, leases: &[Lease]) -> Result<Vec<Lease>, StoreError>;

    /// Takes in running jobs of a foreign broker whose kind their worker does not know, uncounted; for each whether it
    /// did, because the payload is here whole: then the message is over. The relay publishes it again when a worker that
    /// knows the kind and works the queue announces itself; while one lives already, after a moment.
    async fn park(&self, leases: &[Lease]) -> Result<Vec<bool>, StoreError>;

    /// Takes over running jobs of a foreign broker, durably and whole, so that their messages can be acknowledged while they
    /// run; for each whether it did. From then on the lease alone holds the job: when it ends, the job is rescued, and a
    /// retry or the way to the dead letters goes through the relay. Sensitive jobs, those whose body is not kept and those
    /// whose message carries no id are never taken over. Asked again, it answers the same.
    async fn hand_over(&self, jobs: Vec<HandOver>) -> Result<Vec<bool>, StoreError>;

    /// Takes the one seat of the fleet for a job that must run alone and is not claimed with it (foreign brokers);
    /// `false` = another such job runs. It is free again when this start is over, however it ends.
    async fn take_seat(&self, lease: Lease) -> Result<bool, StoreError>;

    /// Shows this process to the others until the guard is dropped, and offers what was parked of the kinds that it
    /// knows.
    async fn announce(&self, worker: &WorkerRecord) -> Result<Arc<dyn Liveness>, StoreError>;

    /// Tells the others what keeps this worker from its work, in place of what it told before; a sign of life besides.
    async fn tell(&self, worker: &WorkerName, troubles: &[Trouble]) -> Result<(), StoreError>;

    /// Every worker that was seen in the last minute.
    async fn workers(&self) -> Result<Vec<WorkerRecord>, StoreError>;
}

/// Looking at jobs and steering single ones.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// One job, or `None`.
    async fn find(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// The starts of one job, oldest first, at most 200.
    async fn attempts(&self, id: JobId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// Which of these jobs are over. At most 500 are asked for.
    async fn over(&self, ids: &[JobId]) -> Result<Vec<JobId>, StoreError>;

    /// One page of jobs, newest first.
    async fn list(&self, filter: &JobFilter, page: &Page) -> Result<Vec<JobRecord>, StoreError>;

    /// The same for a person who waits for it: looks at a bounded number of jobs from where the page begins, and says how far
    /// it looked when that was not far enough to fill the page.
    async fn search(&self, filter: &JobFilter, page: &Page) -> Result<Found, StoreError> {
        Ok(Found { jobs: self.list(filter, page).await?, looked: None })
    }

    /// Cancels a job that waits, asks a running one to stop; the state after the call.
    async fn cancel(&self, id: JobId) -> Result<State, StoreError>;

    /// Makes a retrying, scheduled, dead or cancelled job run now with fresh attempts; the state after the call.
    /// A job of a foreign broker is published again by the relay.
    async fn retry(&self, id: JobId) -> Result<State, StoreError>;
}

/// Dead and cancelled jobs that are counted one by one. Where there are more, each queue gets an equal share of them: counting a
/// million reads a million rows, and of so many nobody needs to know how many.
pub const OVER_COUNTED: u32 = 100_000;
/// The same of jobs that may run now.
pub const WAITING_COUNTED: u32 = 200_000;
/// The newest jobs, among which the completed ones are counted.
pub const NEWEST_COUNTED: u32 = 30_000;

/// Queues as a whole.
#[async_trait]
pub trait Queues: Send + Sync + 'static {
    /// Counts by state of every queue that has a row, sorted by name. Finished jobs count as far as they are kept, completed
    /// ones for a day. Every count has a bound that all queues share, such as [`OVER_COUNTED`]: where it ends the counting,
    /// [`QueueCounts::more`] says so.
    async fn counts(&self) -> Result<Vec<QueueCounts>, StoreError>;

    /// Stops or resumes the taking of jobs from a queue, fleet-wide; says whether that changed anything.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<bool, StoreError>;

    /// The queues that are paused.
    async fn paused(&self) -> Result<Vec<QueueName>, StoreError>;

    /// Waiting jobs whose kind nobody knew who looked at them, by queue and kind; at most [`ParkedKind::LISTED`]. What a
    /// worker that knows the kind has not got round to is among them.
    async fn parked(&self) -> Result<Vec<ParkedKind>, StoreError>;

    /// The kinds of the jobs that are next in each of these queues, as far as the store knows them: of the first few. A queue of
    /// which it knows none may be missing.
    async fn next_kinds(&self, queues: &[QueueName]) -> Result<BTreeMap<QueueName, Vec<Kind>>, StoreError> {
        let _ = queues;
        Ok(BTreeMap::new())
    }

    /// Hears when a person wishes something: a running job cancelled, a queue paused or resumed.
    fn wishes(&self) -> Box<dyn Hints>;
}

/// Finished rows are kept at least this long, whatever is asked (docs/contracts/probe.md).
pub const KEPT_AT_LEAST: Duration = Duration::from_secs(24 * 3600);

/// When the next job is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Its time.
    pub at: Timestamp,
    /// How long that is from now, by the store's clock.
    pub wait: Duration,
}

/// What the scheduler, the rescuer and the pruner call. Safe to call from every worker at once.
#[async_trait]
pub trait Maintenance: Send + Sync + 'static {
    /// Makes due jobs of the SQL brokers available, at most `limit`, and wakes whoever waits for their queues; how many,
    /// and when the next one is due.
    async fn promote(&self, limit: u32) -> Result<(u64, Option<Due>), StoreError>;

    /// Hears when a job is scheduled that is due sooner than the others.
    fn dues(&self) -> Box<dyn Hints>;

    /// Returns jobs whose lease has ended (or whose holder's sign of life is gone), counting a crash and no attempt.
    async fn rescue(&self) -> Result<Rescued, StoreError>;

    /// Unfinished jobs of this queue whose message a foreign broker had, and of which nobody has given a sign for so long:
    /// their lease is over, or their time has come, and nothing happened. At most 1,000.
    async fn forsaken(
        &self,
        broker: &str,
        queue: &QueueName,
        after: Duration,
    ) -> Result<Vec<Forsaken>, StoreError>;

    /// Ends these jobs as dead and ambiguous, those that are still forsaken: their message is gone from the broker, and
    /// somebody else may have done what they ask for. How many.
    async fn forsake(&self, jobs: Vec<JobId>, after: Duration) -> Result<u64, StoreError>;

    /// Deletes completed and cancelled rows that ended longer ago than `keep` ([`KEPT_AT_LEAST`]), at most `limit`.
    async fn prune(&self, keep: Duration, limit: u32) -> Result<u64, StoreError>;

    /// Deletes jobs that are dead for longer than `keep` (a day at least), at most `limit`.
    async fn prune_dead(&self, keep: Duration, limit: u32) -> Result<u64, StoreError>;
}

/// Rows of a domain that nobody needs any more: the pruner of a worker deletes them beside finished jobs.
#[async_trait]
pub trait Retention: Send + Sync + 'static {
    /// What ends here, such as `email_sends`: for the log.
    fn name(&self) -> &'static str;

    /// Deletes what is old enough, at most `limit` rows. Safe to call from every worker at once.
    async fn prune(&self, limit: u32) -> Result<u64, StoreError>;
}

/// What a rescue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rescued {
    /// Jobs that may run again.
    pub returned: u64,
    /// Jobs that are dead now with reason `crash-loop`.
    pub dead: u64,
}

/// Cron: each tick once, however many instances run.
#[async_trait]
pub trait Schedules: Send + Sync + 'static {
    /// The slot that was enqueued last; registers the schedule at `now` when it is new.
    async fn last_tick(&self, name: &str, now: Timestamp) -> Result<Timestamp, StoreError>;

    /// Moves the last slot from `from` to `to`; `false` = another instance did.
    async fn advance(&self, name: &str, from: Timestamp, to: Timestamp) -> Result<bool, StoreError>;

    /// Name and last slot of every schedule.
    async fn schedules(&self) -> Result<Vec<(String, Timestamp)>, StoreError>;
}

/// Atomic reservations that the fleet shares.
#[async_trait]
pub trait Limits: Send + Sync + 'static {
    /// Takes one from the key's allowance; `Some(wait)` = not now, ask again after this time.
    async fn reserve(&self, key: &str, rate: Rate) -> Result<Option<Duration>, StoreError>;

    /// Takes one of `slots` places of the key for this job until the lease ends; `false` = all are taken.
    async fn occupy(&self, key: &str, slots: u32, lease: &Lease) -> Result<bool, StoreError>;

    /// Gives the job's place back.
    async fn vacate(&self, key: &str, lease: &Lease) -> Result<(), StoreError>;
}

/// Whether a call to a dependency may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The circuit is closed.
    Go,
    /// It is half open and this caller holds the one probe, or it returns and this is one of the calls that it lets
    /// through: how it ends must be told.
    Probe,
    /// It is open: snooze for about this long.
    Wait(Duration),
}

/// A breaker as shown to people.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerRecord {
    /// The dependency.
    pub name: String,
    /// `closed`, `open`, `half-open`, `returning`.
    pub state: String,
    /// How many calls an interval lets through now, while it returns.
    pub returning: Option<u32>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when it has not been closed; `None` = it is.
    pub since: Option<Timestamp>,
    /// When the next probe may go.
    pub open_until: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
}

/// Circuit breakers, one a dependency, shared by the fleet.
#[async_trait]
pub trait Breakers: Send + Sync + 'static {
    /// Asks before a call. A probe is handed to one caller for at most a minute. After a probe that succeeded the circuit
    /// returns step by step: 2, 4, 8 … calls an interval while they succeed, then it is closed.
    async fn admit(&self, name: &str) -> Result<Admission, StoreError>;

    /// Tells how calls ended: how many succeeded, how many failed in a row at the end, and the last error.
    async fn report(
        &self,
        name: &str,
        policy: BreakerPolicy,
        result: Result<(), String>,
    ) -> Result<(), StoreError>;

    /// Every breaker that was ever used.
    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError>;
}

/// The inbox of effects; every call is fenced by the lease.
#[async_trait]
pub trait Effects: Send + Sync + 'static {
    /// Durably notes that the effect is about to happen and says what was known before. An effect found
    /// `intended` is turned into `ambiguous` by this call and counted; `done` is left as it is.
    async fn intend(&self, lease: &Lease, key: &str) -> Result<EffectStatus, StoreError>;

    /// Durably notes how it ended, with what the other side called it.
    async fn conclude(
        &self,
        lease: &Lease,
        key: &str,
        state: EffectState,
        receipt: Option<&str>,
    ) -> Result<(), StoreError>;
}

/// Jobs that are accepted in the store and still have to reach a foreign broker.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Accepts jobs for a broker: checks ids, idempotency keys and unique keys. Rows due now are published by the
    /// caller and then marked; what stays unmarked is the relay's.
    async fn accept(&self, broker: &str, batch: Vec<Envelope>) -> Result<Vec<Accepted>, StoreError>;

    /// Due rows that nobody published within `hold`, taken for `hold` by this caller. Dead jobs are among them whose
    /// message was handed over: whoever gets it once more brings it to the broker's own dead letters.
    async fn take_unpublished(
        &self,
        broker: &str,
        limit: u32,
        hold: Duration,
    ) -> Result<Vec<Envelope>, StoreError>;

    /// The broker confirmed these.
    async fn mark_published(&self, ids: &[JobId]) -> Result<(), StoreError>;
}
