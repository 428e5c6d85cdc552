//! A broker with one planted fault, and the harness that plants it.

use std::sync::Arc;

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Bytes, Capabilities, Capability, ConsumeOptions, Consumer, Envelope,
    QueueName, Store,
};

use super::{broker_fault::BrokerFault, consumer::FaultyConsumer};
use crate::conformance::{BrokerHarness, Corpse, DeadJob, Namespace};

/// The brokers of another harness, with a fault.
#[derive(Debug, Clone)]
pub struct FaultyBrokers<H> {
    /// The honest harness.
    pub honest: H,
    /// The fault.
    pub fault: BrokerFault,
}

#[async_trait]
impl<H: BrokerHarness> BrokerHarness for FaultyBrokers<H> {
    fn name(&self) -> String {
        format!("{}+{:?}", self.honest.name(), self.fault)
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        let honest = self.honest.namespace().await?;
        Ok(Arc::new(FaultySpace { honest, fault: self.fault }))
    }

    fn lease(&self) -> std::time::Duration {
        self.honest.lease()
    }
}

struct FaultySpace {
    honest: Arc<dyn Namespace>,
    fault: BrokerFault,
}

#[async_trait]
impl Namespace for FaultySpace {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        Ok(Arc::new(FaultyBroker { honest: self.honest.connect().await?, fault: self.fault }))
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        self.honest.store()
    }

    async fn tend(&self) -> Result<(), String> {
        self.honest.tend().await
    }

    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        self.honest.crash(corpse).await
    }

    async fn dead_letters(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        self.honest.dead_letters(queue).await
    }

    async fn publish_malformed(&self, queue: &QueueName, raw: Bytes) -> Result<bool, String> {
        self.honest.publish_malformed(queue, raw).await
    }

    async fn cut_connections(&self) -> Result<bool, String> {
        self.honest.cut_connections().await
    }
}

pub(super) struct FaultyBroker {
    pub(super) honest: Arc<dyn Broker>,
    pub(super) fault: BrokerFault,
}

impl FaultyBroker {
    fn spoil(&self, envelope: &mut Envelope) {
        match self.fault {
            BrokerFault::DropsHeaders => envelope.headers.clear(),
            BrokerFault::RewritesPayload => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&envelope.payload) {
                    envelope.payload = value.to_string().into();
                }
            }
            BrokerFault::ForgetsDelay => envelope.run_at = None,
            BrokerFault::ForgetsPriority | BrokerFault::ClaimsTooMuch => envelope.priority = 0,
            _ => {}
        }
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn capabilities(&self) -> Capabilities {
        match self.fault {
            BrokerFault::ClaimsTooMuch => Capabilities::of(&[Capability::Delay, Capability::Priority]),
            BrokerFault::ClaimsTooLittle => Capabilities::of(&[Capability::Lease, Capability::Fencing]),
            _ => self.honest.capabilities(),
        }
    }

    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.honest.declare(queue).await
    }

    async fn publish(&self, mut batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        batch.iter_mut().for_each(|envelope| self.spoil(envelope));
        if self.fault != BrokerFault::ConfirmsUnwritten {
            return self.honest.publish(batch).await;
        }
        let answers = batch.iter().map(|envelope| Ok(Accepted::New(envelope.id))).collect();
        let written = batch.into_iter().enumerate().filter(|(n, _)| n % 7 != 6).map(|(_, e)| e).collect();
        self.honest.publish(written).await;
        answers
    }

    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let slots = options.slots;
        let kinds = options.kinds.filter(|_| self.fault != BrokerFault::IgnoresKinds);
        let honest = self.honest.consume(queue, ConsumeOptions { kinds, ..options }).await?;
        Ok(Box::new(FaultyConsumer::new(honest, Arc::clone(&self.honest), self.fault, slots)))
    }

    fn lateness(&self, delay: std::time::Duration) -> std::time::Duration {
        self.honest.lateness(delay)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.honest.depth(queue).await
    }

    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError> {
        match self.fault {
            BrokerFault::KeepsRemoved => Ok(()),
            _ => self.honest.remove(queue).await,
        }
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        self.honest.ping().await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.honest.close().await
    }
}
