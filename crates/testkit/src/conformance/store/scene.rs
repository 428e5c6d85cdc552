//! What every store case begins with: an empty store, and short words for claiming and finishing.
//!
//! Jobs are claimed as deliveries of a foreign broker called `conformance`.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Ack, Bytes, Completion, DeadLetter, Envelope, ErrorClass, ErrorReport, JobId, JobRecord, Kind, Lease,
    QueueName, Reason, Retry, Settled, Settlement, Store, Timestamp, WorkerName,
    store::{ClaimRequest, Claimed, Finish, Holder, Start},
};

use crate::{
    conformance::{
        case::Failure,
        harness::{OpenStore, StoreHarness},
    },
    servers::{unique_name, unique_queue},
};

/// The broker that the cases speak for.
pub(super) const BROKER: &str = "conformance";

/// One case's private world.
pub(in crate::conformance) struct Scene {
    pub(super) store: Arc<dyn Store>,
    pub(super) lease: Duration,
    /// How much longer than on an idle machine everything may take.
    pub(super) stretch: f64,
    pub(super) queue: QueueName,
    pub(super) holder: Holder,
    _guard: Box<dyn Send + Sync>,
}

impl Scene {
    /// All times of the case are stretched by as much as the machine is slow.
    pub(in crate::conformance) async fn open(
        harness: Arc<impl StoreHarness>,
        stretch: f64,
    ) -> Result<Self, Failure> {
        let OpenStore { store, guard } = harness.store().await.map_err(Failure::new)?;
        let lease = harness.lease().mul_f64(stretch);
        let holder = Holder { worker: WorkerName::new(unique_name("worker"))?, lease };
        Ok(Self { store, lease, stretch, queue: unique_queue("q"), holder, _guard: guard })
    }

    /// Another worker.
    pub(super) fn other(&self) -> Result<Holder, Failure> {
        Ok(Holder { worker: WorkerName::new(unique_name("other"))?, lease: self.lease })
    }

    /// A worker whose lease does not end within a case.
    pub(super) fn patient(&self) -> Holder {
        Holder { lease: Duration::from_secs(60), ..self.holder.clone() }
    }

    pub(super) fn envelope(&self, payload: impl Into<Bytes>) -> Envelope {
        let kind = Kind::new("conformance.case").expect("the name is legal");
        Envelope::new(kind, self.queue.clone(), payload, now())
    }

    /// Claims one delivery.
    pub(super) async fn claim(&self, holder: &Holder, envelope: &Envelope) -> Result<Claimed, Failure> {
        self.ask(holder, request(envelope)).await
    }

    /// Claims one delivery that the broker handed out before.
    pub(super) async fn reclaim(&self, holder: &Holder, envelope: &Envelope) -> Result<Claimed, Failure> {
        self.ask(holder, ClaimRequest { redelivered: true, ..request(envelope) }).await
    }

    /// Sends one request.
    pub(super) async fn ask(&self, holder: &Holder, request: ClaimRequest) -> Result<Claimed, Failure> {
        let mut answers = self.store.claim(holder, vec![request]).await?;
        match (answers.pop(), answers.len()) {
            (Some(answer), 0) => Ok(answer),
            (last, more) => Err(Failure::new(format!("one request, {more} answers more than {last:?}"))),
        }
    }

    /// Claims one delivery, which must run, with a lease that does not end within the case.
    pub(super) async fn start(&self, envelope: &Envelope) -> Result<Start, Failure> {
        running(self.claim(&self.patient(), envelope).await?)
    }

    /// Writes one result.
    pub(super) async fn finish(&self, lease: Lease, settlement: Settlement) -> Result<Settled, Failure> {
        let mut answers = self.store.finish(vec![Finish { lease, settlement, durable: true }]).await?;
        match (answers.pop(), answers.len()) {
            (Some(answer), 0) => Ok(answer),
            (last, more) => Err(Failure::new(format!("one result, {more} answers more than {last:?}"))),
        }
    }

    /// Runs a job to its end as completed.
    pub(super) async fn complete(&self, envelope: &Envelope) -> Result<Start, Failure> {
        let start = self.start(envelope).await?;
        applied(self.finish(start.lease, completed()).await?)?;
        Ok(start)
    }

    /// Runs a job to its end as dead.
    pub(super) async fn bury(&self, envelope: &Envelope) -> Result<Start, Failure> {
        let start = self.start(envelope).await?;
        applied(self.finish(start.lease, dead(Reason::Permanent)).await?)?;
        Ok(start)
    }

    /// The job's row, which must be there.
    pub(super) async fn row(&self, id: JobId) -> Result<JobRecord, Failure> {
        self.store.find(id).await?.ok_or_else(|| Failure::new(format!("the store does not know {id}")))
    }
}

/// The request for a delivery that is handed out for the first time.
pub(super) fn request(envelope: &Envelope) -> ClaimRequest {
    ClaimRequest {
        envelope: envelope.clone(),
        broker: BROKER,
        redelivered: false,
        anonymous: false,
        except: Vec::new(),
    }
}

/// The start of a claim that must run.
pub(super) fn running(claimed: Claimed) -> Result<Start, Failure> {
    match claimed {
        Claimed::Run(start) => Ok(start),
        other => Err(Failure::new(format!("a claim that must run was answered with {other:?}"))),
    }
}

/// The settlement must have taken place.
pub(super) fn applied(settled: Settled) -> Result<(), Failure> {
    match settled {
        Settled::Applied => Ok(()),
        Settled::Stale => Err(Failure::new("the result of the current holder was answered Stale")),
    }
}

/// The usual end.
pub(super) fn completed() -> Settlement {
    Settlement::Ack(Ack::Completed(Completion::default()))
}

/// An end among the dead.
pub(super) fn dead(reason: Reason) -> Settlement {
    let error = ErrorReport::new(ErrorClass::Error, "no such mailbox");
    Settlement::DeadLetter(DeadLetter { reason, error, attempt: 1 })
}

/// A failed attempt (`counted`) or a snooze.
pub(super) fn retry(envelope: &Envelope, attempt: u32, counted: bool) -> Settlement {
    let next = Envelope { attempt: attempt + u32::from(counted), ..envelope.clone() };
    let class = if counted { ErrorClass::Error } else { ErrorClass::Released };
    let error = Some(ErrorReport::new(class, "connection refused"));
    Settlement::Retry(Box::new(Retry { next, delay: Duration::ZERO, counted, error }))
}

/// Now, at a microsecond: the finest time that every store keeps.
pub(super) fn now() -> Timestamp {
    let micros = Timestamp::now().as_microsecond();
    Timestamp::from_microsecond(micros).expect("now is within the calendar")
}
