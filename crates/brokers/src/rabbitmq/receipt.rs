//! The right to settle one AMQP delivery. Retry and dead letter publish a confirmed copy first and ack then.
//!
//! A receipt that is dropped gives its delivery back. One whose copy is not taken keeps the delivery and offers the copy
//! again, ever more slowly: given back it would be handed out at once, before its time. The prefetch bounds how many are
//! kept, and [`Troubles`](super::troubles::Troubles) says why. It lets go when its consumer takes nothing more.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Ack, BrokerError, Clock, DeadLetter, Envelope, Failpoint, QueueName, Receipt, Retry, Settled,
    SystemClock, Timestamp, broker::Tie,
};
use lapin::BasicProperties;
use tokio::time::sleep;

use super::{
    error::refused_or_away, message::Origin, properties, publishing::Message, settling::Acks, shared::Shared,
};

/// How often a copy is tried in a row.
const TRIES: u32 = 3;
/// The first and the longest pause before a copy is offered again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

pub(super) struct AmqpReceipt {
    shared: Arc<Shared>,
    acks: Acks,
    queue: QueueName,
    tag: u64,
    /// The number of the subscription that brought it.
    subscription: u64,
    origin: Box<Origin>,
    settled: bool,
    /// It is being handed over.
    leaves: bool,
}

/// What is published in place of the delivery.
enum Copy {
    /// The next run, not before this time.
    Next(Box<Envelope>, Timestamp),
    /// The same message, which came out of the ladder too early.
    Hop(Timestamp),
    Letter(DeadLetter),
}

impl Copy {
    /// When it can go to the queue itself, for which no helper object is needed.
    fn due(&self) -> Option<Timestamp> {
        match self {
            Self::Next(_, due) | Self::Hop(due) => Some(*due),
            Self::Letter(_) => None,
        }
    }
}

impl AmqpReceipt {
    pub(super) fn new(
        shared: Arc<Shared>,
        acks: Acks,
        queue: QueueName,
        (tag, subscription): (u64, u64),
        origin: Box<Origin>,
    ) -> Self {
        acks.delivered(tag, subscription);
        Self { shared, acks, queue, tag, subscription, origin, settled: false, leaves: false }
    }

    /// Sends a message that came back too early on to its next step, in the background.
    pub(super) fn hop(self, due: Timestamp) {
        tokio::spawn(async move {
            if let Err(error) = self.replace(Copy::Hop(due)).await {
                tracing::debug!(%error, "a delayed job could not be sent on, it goes back");
            }
        });
    }

    /// Publishes the copy, however long that takes, and acks.
    async fn replace(mut self, copy: Copy) -> Result<Settled, BrokerError> {
        let (mut waiting, mut pause) = (None, PAUSES.0);
        while let Err(error) = self.publish(&copy).await {
            if waiting.is_none() {
                let queue = &self.queue;
                tracing::warn!(%queue, %error, "a copy cannot be published; its delivery is kept until it can");
            }
            waiting.get_or_insert_with(|| self.shared.troubles.wait(&self.queue)).because(&error);
            if self.acks.over().is_cancelled() || matches!(error, BrokerError::Closed) {
                return Err(error);
            }
            tokio::select! {
                biased;
                () = self.acks.over().cancelled() => {}
                () = sleep(until_next(pause, copy.due())) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
        drop(waiting);
        Failpoint::AfterCopy.pass();
        self.finish().await
    }

    async fn publish(&self, copy: &Copy) -> Result<(), BrokerError> {
        let now = SystemClock.now();
        let (to, properties, body) = match copy {
            Copy::Next(next, due) => {
                let direct = *due <= now;
                let properties = properties::of_retry(&self.origin, next, direct, now)?;
                (self.shared.waiting_place(&self.queue, *due, now).await?, properties, next.payload.clone())
            }
            Copy::Hop(due) => {
                let to = self.shared.waiting_place(&self.queue, *due, now).await?;
                (to, properties::of_hop(&self.origin)?, self.origin.body.clone())
            }
            Copy::Letter(letter) => {
                let to = self.shared.topology.ensure_dlq(&self.queue).await?;
                let properties = properties::of_dead_letter(&self.origin, letter, self.queue.as_str(), now)?;
                (to, properties, self.origin.body.clone())
            }
        };
        self.offer(to, properties, body).await
    }

    async fn offer(
        &self,
        queue: String,
        properties: BasicProperties,
        body: backshift_core::Bytes,
    ) -> Result<(), BrokerError> {
        let message = Message { exchange: String::new(), routing_key: queue, properties, body };
        for attempt in 1..TRIES {
            match self.shared.publisher.publish(message.clone()).await {
                Err(error) if error.is_transient() && !matches!(error, BrokerError::Closed) => {
                    tracing::debug!(%error, attempt, "publishing a copy again with the same id");
                    sleep(Duration::from_millis(200) * attempt).await;
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

    /// Acks the delivery.
    async fn finish(&mut self) -> Result<Settled, BrokerError> {
        self.settled = true;
        self.acks.ack(self.tag).await?;
        Ok(Settled::Applied)
    }
}

/// How long to wait before a copy is offered again: not beyond the moment at which it may go to the queue itself.
fn until_next(pause: Duration, due: Option<Timestamp>) -> Duration {
    let left = due.map(|due| due.duration_since(SystemClock.now()));
    let left = left.and_then(|left| Duration::try_from(left).ok()).filter(|left| !left.is_zero());
    left.map_or(pause, |left| pause.min(left))
}

#[async_trait]
impl Receipt for AmqpReceipt {
    fn tie(&self) -> Option<Tie> {
        Some(self.acks.tie())
    }

    async fn ack(mut self: Box<Self>, _ack: Ack) -> Result<Settled, BrokerError> {
        self.finish().await
    }

    /// The server would fill the slot of an acknowledged delivery at once, and the message would wait here unacknowledged, out
    /// of everybody's reach. So the subscription that brought it ends first; the consumer begins another for what is free.
    async fn hand_over(mut self: Box<Self>) -> Result<Settled, BrokerError> {
        let doing = "ending a subscription";
        self.leaves = true;
        self.acks.leaves();
        self.acks.leave(self.subscription).await.map_err(|error| refused_or_away(doing, &error))?;
        self.finish().await
    }

    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError> {
        let due = SystemClock.now().checked_add(retry.delay).unwrap_or(Timestamp::MAX);
        let run_at = (!retry.delay.is_zero()).then_some(due);
        let next = Box::new(Envelope { run_at, ..retry.next });
        self.replace(Copy::Next(next, due)).await
    }

    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError> {
        self.replace(Copy::Letter(letter)).await
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
        self.acks.settled(self.subscription, self.leaves);
    }
}
