//! Takes deliveries from one queue on a channel of its own.
//!
//! An error ends the consumer for good: the next `consume` declares, opens and subscribes anew. A message that came
//! out of the ladder too early is sent on here and never reaches the pool.

use std::sync::Arc;

use async_trait::async_trait;
use backshift_core::{
    BrokerError, Clock, ConsumeOptions, Consumer, Delivery, QueueName, SystemClock, Timestamp,
};
use futures::{FutureExt, StreamExt};
use lapin::{
    Channel,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};

use super::{
    acks::Acks,
    broker::Shared,
    connection::Wire,
    error::{refused_or_away, unavailable},
    message,
    receipt::AmqpReceipt,
};

/// Quorum queues take no more.
const MOST: usize = 2000;

pub(super) struct AmqpConsumer {
    shared: Arc<Shared>,
    queue: QueueName,
    wire: Arc<Wire>,
    channel: Channel,
    stream: lapin::Consumer,
    acks: Acks,
    /// What arrived first and is not taken yet.
    first: Option<Option<lapin::Result<lapin::message::Delivery>>>,
    over: bool,
}

impl AmqpConsumer {
    /// Subscribes; the queue must have been declared.
    pub(super) async fn subscribe(
        shared: Arc<Shared>,
        queue: QueueName,
        options: &ConsumeOptions,
    ) -> Result<Self, BrokerError> {
        let wire = shared.work.open().await?;
        let channel = wire.channel().await?;
        let prefetch = prefetch(shared.config.options.prefetch, options.slots);
        wire.ask("limiting deliveries", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let worker: String = options.worker.as_str().chars().take(200).collect();
        let tag = format!("{worker}#{}", uuid::Uuid::now_v7().simple());
        let subscribed = channel.basic_consume(
            queue.as_str().into(),
            tag.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let stream = wire.ask(&format!("subscribing to {queue}"), subscribed).await?;
        let acks = Acks::start(channel.clone(), prefetch);
        Ok(Self { shared, queue, wire, channel, stream, acks, first: None, over: false })
    }

    fn take(&self, delivery: lapin::message::Delivery, now: Timestamp) -> Option<Delivery> {
        let binding = self.shared.binding(&self.queue);
        let incoming = message::read(delivery, &self.queue, binding, now);
        self.acks.delivered(incoming.tag);
        let receipt = AmqpReceipt::new(
            self.shared.clone(),
            self.acks.clone(),
            self.queue.clone(),
            incoming.tag,
            incoming.origin,
        );
        if let Some(due) = incoming.due.filter(|due| *due > now) {
            receipt.hop(due);
            return None;
        }
        Some(Delivery {
            job: incoming.job,
            redelivered: incoming.redelivered,
            anonymous: incoming.anonymous,
            start: None,
            claimed_at: None,
            receipt: Box::new(receipt),
        })
    }

    fn give_back(&mut self) {
        if let Some(Some(Ok(delivery))) = self.first.take() {
            self.acks.give_back(delivery.delivery_tag);
        }
        give_back(&mut self.stream, &self.acks);
    }

    fn end(&mut self, error: BrokerError) -> BrokerError {
        self.over = true;
        if !self.channel.status().connected() {
            self.acks.lose();
        }
        error
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut taken = Vec::new();
        loop {
            if self.over {
                return Err(BrokerError::Closed);
            }
            if !self.channel.status().connected() && !self.wire.is_open() {
                return Err(self.end(unavailable("the connection is gone")));
            }
            // The only waits, and this call holds nothing meanwhile: dropped, it loses nothing.
            if self.first.is_none() {
                self.first = Some(self.stream.next().await);
                // More is on its way behind the first one: one turn of the others gathers it.
                tokio::task::yield_now().await;
            }
            let (mut next, now) = (self.first.take(), SystemClock.now());
            while let Some(item) = next {
                match item {
                    Some(Ok(delivery)) => taken.extend(self.take(delivery, now)),
                    Some(Err(error)) => {
                        let doing = format!("consuming {}", self.queue);
                        return Err(self.end(refused_or_away(&doing, &error)));
                    }
                    None => {
                        let what =
                            format!("{} was deleted or moved: the server cancelled the consumer", self.queue);
                        return Err(self.end(unavailable(what)));
                    }
                }
                next = if taken.len() < free { self.stream.next().now_or_never() } else { None };
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn quiet(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.acks.rest();
        let cancelled = self.channel.basic_cancel(self.stream.tag(), BasicCancelOptions::default());
        if let Err(error) = self.wire.ask("cancelling a consumer", cancelled).await {
            tracing::debug!(queue = %self.queue, %error, "the consumer could not be cancelled, its channel is gone");
        }
        self.give_back();
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.give_back();
        // Receipts may keep the channel open for long: without this, deliveries on their way would stay with us.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (wire, channel) = (self.wire.clone(), self.channel.clone());
            let (mut stream, acks) = (self.stream.clone(), self.acks.clone());
            runtime.spawn(async move {
                let cancelled = channel.basic_cancel(stream.tag(), BasicCancelOptions::default());
                if wire.ask("cancelling a consumer", cancelled).await.is_ok() {
                    give_back(&mut stream, &acks);
                }
            });
        }
    }
}

/// What lapin buffered goes back at once, uncounted.
fn give_back(stream: &mut lapin::Consumer, acks: &Acks) {
    while let Some(Some(next)) = stream.next().now_or_never() {
        if let Ok(delivery) = next {
            acks.give_back(delivery.delivery_tag);
        }
    }
}

/// As many as the pool asks for: its slots and what it wants to have at hand. More would be kept from others.
fn prefetch(configured: Option<u16>, slots: usize) -> u16 {
    configured.unwrap_or_else(|| u16::try_from(slots.clamp(1, MOST)).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_is_what_the_pool_asks_for() {
        assert_eq!(prefetch(None, 10), 10);
        assert_eq!(prefetch(None, 0), 1);
        assert_eq!(prefetch(None, 100_000), 2000);
        assert_eq!(prefetch(Some(7), 1000), 7);
    }
}
