//! The consumer of a broker with a planted fault: what it does to deliveries on their way out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{Ack, Broker, BrokerError, Completion, Consumer, Delivery};

use super::{
    broker_fault::BrokerFault,
    receipt::{Earlier, FaultyReceipt, Forgotten},
};

pub(super) struct FaultyConsumer {
    honest: Box<dyn Consumer>,
    broker: Arc<dyn Broker>,
    fault: BrokerFault,
    slots: usize,
    fetched: Vec<Delivery>,
    earlier: Earlier,
}

impl FaultyConsumer {
    pub(super) fn new(
        honest: Box<dyn Consumer>,
        broker: Arc<dyn Broker>,
        fault: BrokerFault,
        slots: usize,
    ) -> Self {
        Self { honest, broker, fault, slots, fetched: Vec::new(), earlier: Earlier::default() }
    }

    async fn fetch(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        match self.fault {
            BrokerFault::OverstepsFree => self.honest.next(free + 1).await,
            BrokerFault::LosesDroppedNext => {
                let fetched = Fragile(self.honest.next(free).await?);
                tokio::time::sleep(Duration::from_millis(2)).await;
                Ok(fetched.whole())
            }
            BrokerFault::KeepsPrefetched => {
                if self.fetched.is_empty() {
                    self.fetched = self.honest.next(self.slots).await?;
                }
                let count = free.min(self.fetched.len());
                Ok(self.fetched.drain(..count).collect())
            }
            _ => self.honest.next(free).await,
        }
    }

    fn spoil(&self, mut delivery: Delivery) -> Delivery {
        let second = delivery.redelivered;
        match (&mut delivery.job, self.fault) {
            (Ok(job), BrokerFault::CountsCrashes) if second => job.attempt += 1,
            (_, BrokerFault::HidesRedelivery) => {
                delivery.redelivered = false;
                delivery.start.iter_mut().for_each(|start| start.starts = 1);
            }
            _ => {}
        }
        delivery.receipt = FaultyReceipt::around(delivery.receipt, &self.broker, self.fault, &self.earlier);
        delivery
    }

    async fn acked(mut delivery: Delivery) -> Delivery {
        let receipt = std::mem::replace(&mut delivery.receipt, Box::new(Forgotten));
        let _ = receipt.ack(Ack::Completed(Completion::default())).await;
        delivery
    }

    fn twice(delivery: Delivery) -> [Delivery; 2] {
        let again = Delivery {
            job: delivery.job.clone(),
            redelivered: delivery.redelivered,
            anonymous: delivery.anonymous,
            claimed_at: None,
            start: delivery.start.clone(),
            receipt: Box::new(Forgotten),
        };
        [delivery, again]
    }
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        if self.fault == BrokerFault::DeliversTwice
            && let Some(again) = self.fetched.pop()
        {
            return Ok(vec![again]);
        }
        let mut out = Vec::new();
        for delivery in self.fetch(free).await? {
            match self.fault {
                BrokerFault::DeliversTwice => {
                    let [first, again] = Self::twice(delivery);
                    self.fetched.push(again);
                    out.push(first);
                }
                BrokerFault::AcksBeforeTheEffect => out.push(Self::acked(delivery).await),
                _ => out.push(self.spoil(delivery)),
            }
        }
        Ok(out)
    }

    async fn put_back(&mut self) {
        self.honest.put_back().await;
    }

    async fn quiet(&mut self) {
        self.honest.quiet().await;
    }
}

/// Deliveries that are lost when the call that fetched them is dropped.
struct Fragile(Vec<Delivery>);

impl Fragile {
    fn whole(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        for delivery in self.0.drain(..) {
            let lost = delivery.receipt.ack(Ack::Completed(Completion::default()));
            tokio::spawn(async move { drop(lost.await) });
        }
    }
}
