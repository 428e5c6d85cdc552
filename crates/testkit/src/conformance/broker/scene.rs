//! What every broker case begins with: a private namespace, one connection, one queue, and somebody who tends it.
//!
//! `take` waits for what must come, `nothing` waits long enough to see what must not; both fail the case otherwise.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Accepted, Ack, Broker, BrokerError, Bytes, Capability, Completion, ConsumeOptions, Consumer, Delivery,
    Envelope, JobId, Kind, QueueName, Retry, Settled, Timestamp, WorkerName, broker::Occupied,
};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    conformance::{
        case::{Failure, Outcome, Verdict},
        harness::{BrokerHarness, Corpse, Namespace},
    },
    servers::{unique_name, unique_queue},
    wait::{self, PATIENCE},
};

/// One case's private world.
pub(in crate::conformance) struct Scene {
    pub(super) namespace: Arc<dyn Namespace>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) queue: QueueName,
    pub(super) lease: Duration,
    /// What the case's consumers are told about slots without a delivery.
    pub(super) occupied: Occupied,
    tending: JoinHandle<()>,
}

impl Scene {
    /// All times of the case are stretched by as much as the machine is slow.
    pub(in crate::conformance) async fn open(
        harness: Arc<impl BrokerHarness>,
        stretch: f64,
    ) -> Result<Self, Failure> {
        let namespace = harness.namespace().await.map_err(Failure::new)?;
        let broker = namespace.connect().await.map_err(Failure::new)?;
        let queue = unique_queue("q");
        broker.declare(&queue).await?;
        let tended = Arc::clone(&namespace);
        let tending = tokio::spawn(async move {
            loop {
                if let Err(error) = tended.tend().await {
                    eprintln!("tending failed: {error}");
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        });
        let (lease, occupied) = (harness.lease().mul_f64(stretch), Occupied::default());
        Ok(Self { namespace, broker, queue, lease, occupied, tending })
    }

    pub(super) fn claims(&self, capability: Capability) -> bool {
        self.broker.capabilities().has(capability)
    }

    /// Another process of the same namespace.
    pub(super) async fn connect(&self) -> Result<Arc<dyn Broker>, Failure> {
        self.namespace.connect().await.map_err(Failure::new)
    }

    pub(super) fn envelope(&self, payload: impl Into<Bytes>) -> Envelope {
        Envelope::new(kind(), self.queue.clone(), payload, now())
    }

    /// Publishes one envelope, which must be accepted as new.
    pub(super) async fn publish(&self, envelope: Envelope) -> Result<JobId, Failure> {
        let id = envelope.id;
        match self.offer(envelope).await? {
            Accepted::New(accepted) if accepted == id => Ok(id),
            other => Err(Failure::new(format!("a new job {id} was answered with {other:?}"))),
        }
    }

    /// Publishes `count` jobs with the payloads `0`, `1`, …
    pub(super) async fn publish_many(&self, count: usize) -> Result<Vec<JobId>, Failure> {
        let batch: Vec<_> = (0..count).map(|n| self.envelope(n.to_string())).collect();
        let ids = batch.iter().map(|envelope| envelope.id).collect();
        for answer in self.broker.publish(batch).await {
            answer?;
        }
        Ok(ids)
    }

    /// Publishes one envelope and hands back the broker's answer.
    pub(super) async fn offer(&self, envelope: Envelope) -> Result<Accepted, BrokerError> {
        self.broker.publish(vec![envelope]).await.pop().unwrap_or(Err(BrokerError::Closed))
    }

    /// The envelope needs this capability, which is not claimed: it must be refused.
    pub(super) async fn refused(&self, capability: Capability, envelope: Envelope) -> Verdict {
        match self.offer(envelope).await {
            Err(BrokerError::Unsupported { capability: named, .. }) if named == capability => {
                Ok(Outcome::Unsupported)
            }
            other => Err(Failure::new(format!(
                "{capability:?} is not claimed, so Unsupported was due, not {other:?}"
            ))),
        }
    }

    /// A consumer of the case's queue on the case's connection.
    pub(super) async fn consumer(&self, slots: usize) -> Result<Box<dyn Consumer>, Failure> {
        self.consume(&self.broker, slots, self.occupied.clone()).await
    }

    /// A consumer of the case's queue on another connection, of another pool: none of its slots is taken.
    pub(super) async fn consumer_of(
        &self,
        broker: &Arc<dyn Broker>,
        slots: usize,
    ) -> Result<Box<dyn Consumer>, Failure> {
        self.consume(broker, slots, Occupied::default()).await
    }

    async fn consume(
        &self,
        broker: &Arc<dyn Broker>,
        slots: usize,
        occupied: Occupied,
    ) -> Result<Box<dyn Consumer>, Failure> {
        let worker = WorkerName::new(unique_name("worker"))?;
        let options = ConsumeOptions { slots, kinds: None, lease: self.lease, worker, occupied };
        Ok(broker.consume(&self.queue, options).await?)
    }

    /// Ends a process that holds these deliveries without a word.
    pub(super) async fn crash(
        &self,
        broker: Arc<dyn Broker>,
        consumer: Box<dyn Consumer>,
        held: Vec<Delivery>,
    ) -> Result<(), Failure> {
        let corpse = Corpse { broker, consumers: vec![consumer], held };
        self.namespace.crash(corpse).await.map_err(Failure::new)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

/// The next delivery, which must come.
pub(super) async fn take(consumer: &mut Box<dyn Consumer>) -> Result<Delivery, Failure> {
    let mut taken = take_many(consumer, 1).await?;
    taken.pop().ok_or_else(|| Failure::new("no delivery"))
}

/// The next `count` deliveries, which must come; they stay unsettled.
pub(super) async fn take_many(
    consumer: &mut Box<dyn Consumer>,
    count: usize,
) -> Result<Vec<Delivery>, Failure> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let free = count - taken.len();
        let late = Failure::new(format!("{} of {count} deliveries within {PATIENCE:?}", taken.len()));
        let batch = wait::within(PATIENCE, consumer.next(free)).await.ok_or(late)??;
        if batch.is_empty() || batch.len() > free {
            return Err(Failure::new(format!("next({free}) returned {} deliveries", batch.len())));
        }
        taken.extend(batch);
    }
    Ok(taken)
}

/// Nothing may come within this time.
pub(super) async fn nothing(consumer: &mut Box<dyn Consumer>, within: Duration) -> Result<(), Failure> {
    match timeout(within, consumer.next(1)).await {
        Err(_) => Ok(()),
        Ok(Ok(batch)) => Err(Failure::new(format!("nothing was due, but this came: {batch:?}"))),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// The envelope of a delivery, which must not be malformed.
pub(super) fn job(delivery: &Delivery) -> Result<&Envelope, Failure> {
    delivery.job.as_ref().map_err(|malformed| Failure::new(format!("delivered as malformed: {malformed}")))
}

/// Acknowledges a delivery as completed, which must be applied.
pub(super) async fn ack(delivery: Delivery) -> Result<(), Failure> {
    let until = lease_end(&delivery);
    applied(delivery.receipt.ack(completed()).await?, until)
}

/// Until when a delivery is held, if it is.
pub(super) fn lease_end(delivery: &Delivery) -> Option<Timestamp> {
    delivery.start.as_ref().map(|start| start.lease.until)
}

/// A settlement of a delivery that was held until then must be applied; one that came later proves nothing.
pub(super) fn applied(answer: Settled, until: Option<Timestamp>) -> Result<(), Failure> {
    let overtaken = until.is_some_and(|until| now() >= until);
    match answer {
        Settled::Applied => Ok(()),
        Settled::Stale => {
            Err(Failure::unless_overtaken(overtaken, "a settlement within the lease was answered Stale"))
        }
    }
}

/// A counted retry of this delivery's job.
pub(super) fn retry(envelope: &Envelope, delay: Duration) -> Retry {
    let next = Envelope { attempt: envelope.attempt + 1, ..envelope.clone() };
    Retry { next, delay, counted: true, error: None }
}

/// The usual end.
pub(super) fn completed() -> Ack {
    Ack::Completed(Completion::default())
}

/// The kind that all cases use.
pub(super) fn kind() -> Kind {
    Kind::new("conformance.case").expect("the name is legal")
}

/// Now, at a microsecond: the finest time that every adapter keeps.
pub(super) fn now() -> Timestamp {
    let micros = Timestamp::now().as_microsecond();
    Timestamp::from_microsecond(micros).expect("now is within the calendar")
}
