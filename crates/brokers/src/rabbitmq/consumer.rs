//! Takes deliveries from one queue on a channel of its own.
//!
//! An error ends the consumer for good: the next `consume` declares, opens and subscribes anew. A message that came
//! out of the ladder too early is sent on here and never reaches the pool. The server counts unacknowledged deliveries, and
//! would fill the slots of jobs whose deliveries were handed over: there may be several subscriptions, for as much as is free.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    BrokerError, Clock, ConsumeOptions, Consumer, Delivery, QueueName, SystemClock, Timestamp,
    broker::Occupied,
};
use futures::{
    FutureExt, StreamExt,
    future::{self, BoxFuture, OptionFuture, try_join_all},
    stream::{self, BoxStream, SelectAll},
};
use lapin::Channel;
use tokio::time::sleep;

use super::{
    error::{refused_or_away, unavailable},
    message,
    receipt::AmqpReceipt,
    settling::Acks,
    shared::Shared,
    window::{Limits, Step, Subscription},
    wire::Wire,
};

/// How often it is looked whether there is still a connection, while nothing is subscribed.
const LOOK: Duration = Duration::from_secs(1);

/// The number of a subscription with what it brought; `None` = nothing more comes of it.
type Item = (u64, Option<lapin::Result<lapin::message::Delivery>>);
type Pushed = BoxStream<'static, Item>;
/// A subscription that has begun; `None` = some have ended.
type Answer = Option<(Arc<Subscription>, lapin::Consumer)>;

pub(super) struct AmqpConsumer {
    shared: Arc<Shared>,
    queue: QueueName,
    worker: String,
    wire: Arc<Wire>,
    channel: Channel,
    pushed: SelectAll<Pushed>,
    acks: Acks,
    limits: Limits,
    occupied: Occupied,
    /// What arrived first and is not taken yet.
    first: Option<Item>,
    /// A question that is under way; a dropped call of `next` leaves it here.
    asking: Option<BoxFuture<'static, Result<Answer, BrokerError>>>,
    over: bool,
}

impl AmqpConsumer {
    /// Subscribes, unless all slots are taken; the queue must have been declared.
    pub(super) async fn subscribe(
        shared: Arc<Shared>,
        queue: QueueName,
        options: &ConsumeOptions,
    ) -> Result<Self, BrokerError> {
        let wire = shared.work.open().await?;
        let channel = wire.channel().await?;
        let limits = Limits::new(shared.config.options.prefetch, options.slots);
        let worker: String = options.worker.as_str().chars().take(200).collect();
        let acks = Acks::start(channel.clone(), limits.prefetch());
        let mut consumer = Self {
            shared,
            queue,
            worker,
            wire,
            channel,
            pushed: SelectAll::new(),
            acks,
            limits,
            occupied: options.occupied.clone(),
            first: None,
            asking: None,
            over: false,
        };
        consumer.ask();
        consumer.answered().await?;
        Ok(consumer)
    }

    fn step(&self) -> Option<Step> {
        self.acks.step(self.limits, self.occupied.count())
    }

    /// Asks the server for what is to be done, if anything is and nothing is asked yet.
    fn ask(&mut self) {
        if self.asking.is_some() {
            return;
        }
        let Some(step) = self.step() else { return };
        let (wire, acks, queue) = (self.wire.clone(), self.acks.clone(), self.queue.clone());
        let tag = format!("{}#{}", self.worker, uuid::Uuid::now_v7().simple());
        let question = async move {
            match step {
                Step::Begin(prefetch) => {
                    let begun = acks.subscribe(queue.as_str().into(), tag.into(), prefetch);
                    wire.ask(&format!("subscribing to {queue}"), begun).await.map(Some)
                }
                Step::End(some) => {
                    let ended = try_join_all(some.iter().map(|subscription| acks.end(subscription)));
                    wire.ask("ending a subscription", ended).await.map(|_| None)
                }
            }
        };
        self.asking = Some(question.boxed());
    }

    /// Waits for the answer to what was asked.
    async fn answered(&mut self) -> Result<(), BrokerError> {
        let Some(question) = &mut self.asking else { return Ok(()) };
        let answer = question.await;
        self.asking = None;
        self.heard(answer)
    }

    fn heard(&mut self, answer: Result<Answer, BrokerError>) -> Result<(), BrokerError> {
        match answer {
            Ok(Some((subscription, stream))) => self.pushed.push(follow(&subscription, stream)),
            Ok(None) => {}
            Err(error) => return Err(self.end(error)),
        }
        Ok(())
    }

    /// Waits until something arrived. Dropped, it loses nothing.
    async fn arrived(&mut self) -> Result<(), BrokerError> {
        while self.first.is_none() {
            self.ask();
            tokio::select! {
                biased;
                // First: what always has more must not keep it waiting.
                Some(answer) = OptionFuture::from(self.asking.as_mut()) => {
                    self.asking = None;
                    self.heard(answer)?;
                }
                Some(item) = self.pushed.next() => self.first = Some(item),
                () = self.acks.room() => {}
                // No subscription tells then.
                () = sleep(LOOK), if self.pushed.is_empty() => {
                    if !self.channel.status().connected() {
                        return Err(self.end(unavailable("the connection is gone")));
                    }
                }
                // Whoever took a slot for a delivery of ours is about to say so.
                () = self.occupied.changed() => tokio::task::yield_now().await,
            }
        }
        Ok(())
    }

    /// What has arrived, at most so much.
    fn take_all(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        let (mut taken, now) = (Vec::new(), SystemClock.now());
        let mut next = self.first.take();
        while let Some((subscription, item)) = next {
            match item {
                Some(Ok(delivery)) => taken.extend(self.take(delivery, subscription, now)),
                Some(Err(error)) => {
                    let doing = format!("consuming {}", self.queue);
                    return Err(self.end(refused_or_away(&doing, &error)));
                }
                None if self.acks.drained(subscription) => {}
                None => {
                    let what =
                        format!("{} was deleted or moved: the server cancelled the consumer", self.queue);
                    return Err(self.end(unavailable(what)));
                }
            }
            next = match taken.len() < free {
                true => self.pushed.next().now_or_never().flatten(),
                false => None,
            };
        }
        Ok(taken)
    }

    fn take(
        &self,
        delivery: lapin::message::Delivery,
        subscription: u64,
        now: Timestamp,
    ) -> Option<Delivery> {
        let binding = self.shared.binding(&self.queue);
        let incoming = message::read(delivery, &self.queue, binding, now);
        let receipt = AmqpReceipt::new(
            self.shared.clone(),
            self.acks.clone(),
            self.queue.clone(),
            (incoming.tag, subscription),
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
        self.first.take().into_iter().for_each(|item| back(item, &self.acks));
        give_back(&mut self.pushed, &self.acks);
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
            if self.first.is_none() {
                self.arrived().await?;
                // More is on its way behind the first one: one turn of the others gathers it.
                tokio::task::yield_now().await;
            }
            let taken = self.take_all(free)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn put_back(&mut self) {
        while self.asking.is_some() || matches!(self.step(), Some(Step::End(_))) {
            self.ask();
            if self.answered().await.is_err() {
                return;
            }
        }
        if self.limits.beside(self.occupied.count()) == 0 {
            self.give_back();
        }
    }

    async fn quiet(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.acks.rest();
        // Its error is that of the channel, which the next question hears again.
        let _ = self.answered().await;
        if let Err(error) = self.wire.ask("cancelling a consumer", end_all(&self.acks)).await {
            tracing::debug!(queue = %self.queue, %error, "the consumer could not be cancelled, its channel is gone");
        }
        self.give_back();
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        // Quiet, or the channel is lost.
        if self.acks.over().is_cancelled() {
            return;
        }
        self.give_back();
        // Receipts may keep the channel open for long: without this, deliveries on their way would stay with us.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (wire, acks) = (self.wire.clone(), self.acks.clone());
            let (mut pushed, asking) = (std::mem::take(&mut self.pushed), self.asking.take());
            runtime.spawn(async move {
                if let Some(question) = asking
                    && let Ok(Some((subscription, stream))) = question.await
                {
                    pushed.push(follow(&subscription, stream));
                }
                if wire.ask("cancelling a consumer", end_all(&acks)).await.is_ok() {
                    give_back(&mut pushed, &acks);
                }
            });
        }
    }
}

async fn end_all(acks: &Acks) -> lapin::Result<()> {
    let open = acks.open();
    try_join_all(open.iter().map(|subscription| acks.end(subscription))).await.map(drop)
}

/// What a subscription brings, and its end.
fn follow(subscription: &Subscription, stream: lapin::Consumer) -> Pushed {
    let number = subscription.number;
    let end = stream::once(future::ready((number, None)));
    stream.map(move |delivery| (number, Some(delivery))).chain(end).boxed()
}

/// What lapin buffered goes back at once, uncounted.
fn give_back(pushed: &mut SelectAll<Pushed>, acks: &Acks) {
    while let Some(Some(item)) = pushed.next().now_or_never() {
        back(item, acks);
    }
}

fn back((number, item): Item, acks: &Acks) {
    match item {
        Some(Ok(delivery)) => acks.give_back(delivery.delivery_tag),
        Some(Err(_)) => {}
        None => _ = acks.drained(number),
    }
}
