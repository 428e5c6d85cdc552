//! The right to settle one AMQP delivery. Retry and dead letter publish a confirmed copy first and ack then.
//!
//! A receipt that is dropped gives its delivery back. So does one whose copy could not be published, a second later,
//! so that a refusing server does not turn into a hot loop.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, BrokerError, Clock, DeadLetter, Failpoint, QueueName, Receipt, Retry, Settled, SystemClock,
    Timestamp,
};

use super::{acks::Acks, broker::Shared, message::Origin, properties, publisher::Message};

/// How long a delivery rests before it goes back when its copy could not be published.
const BACK_AFTER: Duration = Duration::from_secs(1);
/// How often a copy is tried while the server is away.
const TRIES: u32 = 3;

pub(super) struct AmqpReceipt {
    shared: Arc<Shared>,
    acks: Acks,
    queue: QueueName,
    tag: u64,
    origin: Box<Origin>,
    settled: bool,
}

impl AmqpReceipt {
    pub(super) fn new(
        shared: Arc<Shared>,
        acks: Acks,
        queue: QueueName,
        tag: u64,
        origin: Box<Origin>,
    ) -> Self {
        Self { shared, acks, queue, tag, origin, settled: false }
    }

    /// Sends a message that came back too early on to its next step, in the background.
    pub(super) fn hop(mut self, due: Timestamp) {
        tokio::spawn(async move {
            let published = async {
                let properties = properties::of_hop(&self.origin)?;
                self.delayed(due, properties).await
            };
            match published.await {
                Ok(()) => drop(self.finish().await),
                Err(error) => {
                    tracing::warn!(queue = %self.queue, %error, "a delayed job could not be sent on, it goes back");
                    self.rest();
                }
            }
        });
    }

    /// Publishes the body to the step that fits, or to the queue when it is due.
    async fn delayed(&self, due: Timestamp, properties: lapin::BasicProperties) -> Result<(), BrokerError> {
        let to = self.shared.waiting_place(&self.queue, due, SystemClock.now()).await?;
        self.copy(to, properties, self.origin.body.clone()).await
    }

    async fn copy(
        &self,
        queue: String,
        properties: lapin::BasicProperties,
        body: backshift_core::Bytes,
    ) -> Result<(), BrokerError> {
        let message = Message { exchange: String::new(), routing_key: queue, properties, body };
        for attempt in 1..TRIES {
            match self.shared.publisher.publish(message.clone()).await {
                Err(error) if error.is_transient() && !matches!(error, BrokerError::Closed) => {
                    tracing::debug!(%error, attempt, "publishing a copy again with the same id");
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                }
                Err(error) => {
                    self.shared.topology.forget(&message.routing_key);
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
        self.shared.publisher.publish(message).await
    }

    async fn retry_copy(&self, retry: Retry) -> Result<(), BrokerError> {
        let now = SystemClock.now();
        let mut next = retry.next;
        let due = now.checked_add(retry.delay).unwrap_or(Timestamp::MAX);
        next.run_at = (!retry.delay.is_zero()).then_some(due);
        let properties = properties::of_retry(&self.origin, &next, retry.delay.is_zero(), now)?;
        let to = self.shared.waiting_place(&self.queue, due, now).await?;
        self.copy(to, properties, next.payload).await
    }

    async fn letter_copy(&self, letter: &DeadLetter) -> Result<(), BrokerError> {
        let to = self.shared.topology.ensure_dlq(&self.queue).await?;
        let properties =
            properties::of_dead_letter(&self.origin, letter, self.queue.as_str(), SystemClock.now())?;
        self.copy(to, properties, self.origin.body.clone()).await
    }

    /// Acks the delivery.
    async fn finish(&mut self) -> Result<Settled, BrokerError> {
        self.settled = true;
        self.acks.ack(self.tag).await?;
        Ok(Settled::Applied)
    }

    /// Acks when the copy is safe, else lets the delivery rest and go back.
    async fn after_copy(mut self, copied: Result<(), BrokerError>) -> Result<Settled, BrokerError> {
        match copied {
            Ok(()) => {
                Failpoint::AfterCopy.pass();
                self.finish().await
            }
            Err(error) => {
                self.rest();
                Err(error)
            }
        }
    }

    fn rest(&mut self) {
        self.settled = true;
        let (acks, tag) = (self.acks.clone(), self.tag);
        tokio::spawn(async move {
            tokio::time::sleep(BACK_AFTER).await;
            acks.give_back(tag);
        });
    }
}

#[async_trait]
impl Receipt for AmqpReceipt {
    async fn ack(mut self: Box<Self>, _ack: Ack) -> Result<Settled, BrokerError> {
        self.finish().await
    }

    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError> {
        let copied = self.retry_copy(retry).await;
        self.after_copy(copied).await
    }

    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError> {
        let copied = self.letter_copy(&letter).await;
        self.after_copy(copied).await
    }

    async fn extend(&mut self, _by: Duration) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Drop for AmqpReceipt {
    fn drop(&mut self) {
        if !self.settled {
            self.acks.give_back(self.tag);
        }
    }
}
