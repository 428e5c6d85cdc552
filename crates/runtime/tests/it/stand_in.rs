//! An honest broker some of whose consumers are the test's.
//!
//! Only consuming is replaced: what is published arrives, and the depth is the true one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Capabilities, ConsumeOptions, Consumer, Delivery, Envelope, QueueName,
};

/// Asks `consumer` first; `None` = an honest one.
pub(crate) struct StandIn<F> {
    pub(crate) honest: Arc<dyn Broker>,
    pub(crate) consumer: F,
}

#[async_trait]
impl<F> Broker for StandIn<F>
where
    F: Fn(&QueueName) -> Option<Box<dyn Consumer>> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.honest.name()
    }
    fn capabilities(&self) -> Capabilities {
        self.honest.capabilities()
    }
    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.honest.declare(queue).await
    }
    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        self.honest.publish(batch).await
    }
    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        match (self.consumer)(queue) {
            Some(consumer) => Ok(consumer),
            None => self.honest.consume(queue, options).await,
        }
    }
    fn lateness(&self, delay: std::time::Duration) -> std::time::Duration {
        self.honest.lateness(delay)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.honest.depth(queue).await
    }
    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.honest.remove(queue).await
    }
    async fn ping(&self) -> Result<(), BrokerError> {
        self.honest.ping().await
    }
    async fn close(&self) -> Result<(), BrokerError> {
        self.honest.close().await
    }
}

/// Hands out nothing; counts how often it was to put back what it has ready.
#[derive(Clone, Default)]
pub(crate) struct Deaf(pub(crate) Arc<AtomicUsize>);

#[async_trait]
impl Consumer for Deaf {
    async fn next(&mut self, _: usize) -> Result<Vec<Delivery>, BrokerError> {
        std::future::pending().await
    }

    async fn put_back(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    async fn quiet(&mut self) {}
}
