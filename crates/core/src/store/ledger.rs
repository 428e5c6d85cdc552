//! The port to starts and results. A result carries the lease of its start; one with an older token is refused as stale.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::error::StoreError;
use crate::{
    Envelope, JobId, Lease, Settled, Settlement, State, WorkerName,
    presence::{Liveness, Trouble, WorkerRecord},
};

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
    /// The message carried no id and was recognised as a delivery of this job; the inner answer is about that job.
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

    /// The broker confirmed that the messages of these jobs are settled; they carry no id. No later
    /// redelivery is theirs. Without this call, a redelivery that looks like such a message would be taken for one of an ended job.
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
