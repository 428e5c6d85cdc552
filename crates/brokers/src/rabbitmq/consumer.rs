//! Takes deliveries from one queue on a channel of its own.
//!
//! An error ends the consumer for good: the next `consume` declares, opens and subscribes anew. A message that came
//! out of the ladder too early is sent on here and never reaches the pool. While jobs run whose deliveries were handed over,
//! the server does not push: it counts unacknowledged deliveries, and would fill slots that are taken.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use backshift_core::{
    BrokerError, Clock, ConsumeOptions, Consumer, Delivery, QueueName, SystemClock, Timestamp,
    broker::Occupied,
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel,
    options::{BasicCancelOptions, BasicQosOptions},
};

use super::{
    acks::Acks,
    broker::Shared,
    connection::Wire,
    error::{refused_or_away, unavailable},
    message,
    pulling::{self, Answer},
    receipt::AmqpReceipt,
};

/// Quorum queues take no more.
const MOST: usize = 2000;

pub(super) struct AmqpConsumer {
    shared: Arc<Shared>,
    queue: QueueName,
    worker: String,
    wire: Arc<Wire>,
    channel: Channel,
    /// `None` = messages are asked for one by one, because the server cannot be told to push fewer.
    stream: Option<lapin::Consumer>,
    acks: Acks,
    occupied: Occupied,
    /// What arrived first and is not taken yet.
    first: Option<Option<lapin::Result<lapin::message::Delivery>>>,
    /// A question that is under way; a dropped call of `next` leaves it here.
    asking: Option<BoxFuture<'static, Result<Answer, BrokerError>>>,
    /// What was asked for and not taken yet.
    pulled: VecDeque<lapin::message::Delivery>,
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
        let acks = Acks::start(channel.clone(), prefetch);
        let mut consumer = Self {
            shared,
            queue,
            worker,
            wire,
            channel,
            stream: None,
            acks,
            occupied: options.occupied.clone(),
            first: None,
            asking: None,
            pulled: VecDeque::new(),
            over: false,
        };
        if consumer.occupied.count() == 0 {
            let answer = consumer.subscription().await?;
            consumer.heard(answer);
        }
        Ok(consumer)
    }

    fn subscription(&self) -> BoxFuture<'static, Result<Answer, BrokerError>> {
        let tag = format!("{}#{}", self.worker, uuid::Uuid::now_v7().simple());
        pulling::subscribe(self.wire.clone(), self.channel.clone(), self.queue.clone(), tag).boxed()
    }

    fn heard(&mut self, answer: Answer) {
        match answer {
            Answer::Subscribed(stream) => {
                self.acks.subscribed(stream.tag());
                self.stream = Some(stream);
            }
            Answer::Pulled(deliveries) => self.pulled.extend(deliveries),
        }
    }

    /// What the server pushes; empty when the subscription has ended for a hand-over and everything of it is taken.
    async fn pushed(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut taken = Vec::new();
        let Some(stream) = &mut self.stream else { return Ok(taken) };
        // The only wait, and this call holds nothing meanwhile: dropped, it loses nothing.
        if self.first.is_none() {
            self.first = Some(stream.next().await);
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
                None if !self.acks.is_subscribed() => {
                    self.stream = None;
                    return Ok(taken);
                }
                None => {
                    let what =
                        format!("{} was deleted or moved: the server cancelled the consumer", self.queue);
                    return Err(self.end(unavailable(what)));
                }
            }
            let more = self.stream.as_mut().filter(|_| taken.len() < free);
            next = more.and_then(|stream| stream.next().now_or_never());
        }
        Ok(taken)
    }

    /// What the server has when it is asked. Back to a subscription as soon as it cannot push more than there are slots.
    async fn asked(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        if self.pulled.is_empty() {
            if self.asking.is_none() {
                let question = match self.occupied.count() == 0 && self.acks.is_last() {
                    true => self.subscription(),
                    false => {
                        let (wire, channel) = (self.wire.clone(), self.channel.clone());
                        pulling::pull(wire, channel, self.queue.clone(), free).boxed()
                    }
                };
                self.asking = Some(question);
            }
            let answer = match &mut self.asking {
                Some(question) => question.await,
                None => return Ok(Vec::new()),
            };
            self.asking = None;
            match answer {
                Ok(answer) => self.heard(answer),
                Err(error) => return Err(self.end(error)),
            }
        }
        let (now, count) = (SystemClock.now(), free.min(self.pulled.len()));
        let pulled: Vec<_> = self.pulled.drain(..count).collect();
        Ok(pulled.into_iter().filter_map(|delivery| self.take(delivery, now)).collect())
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
        self.pulled.drain(..).for_each(|delivery| self.acks.give_back(delivery.delivery_tag));
        if let Some(stream) = &mut self.stream {
            give_back(stream, &self.acks);
        }
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
        loop {
            if self.over {
                return Err(BrokerError::Closed);
            }
            if !self.channel.status().connected() && !self.wire.is_open() {
                return Err(self.end(unavailable("the connection is gone")));
            }
            let taken = match &self.stream {
                Some(_) => self.pushed(free).await?,
                None => self.asked(free).await?,
            };
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
        if let Some(question) = self.asking.take()
            && let Ok(answer) = question.await
        {
            self.heard(answer);
        }
        if let Err(error) = self.wire.ask("cancelling a consumer", self.acks.unsubscribe()).await {
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
            let (mut stream, asking, acks) = (self.stream.take(), self.asking.take(), self.acks.clone());
            runtime.spawn(async move {
                if let Some(question) = asking {
                    match question.await {
                        Ok(Answer::Subscribed(fresh)) => stream = Some(fresh),
                        Ok(Answer::Pulled(deliveries)) => {
                            deliveries.iter().for_each(|delivery| acks.give_back(delivery.delivery_tag));
                        }
                        Err(_) => {}
                    }
                }
                let Some(mut stream) = stream else { return };
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
