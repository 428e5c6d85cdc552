//! The broker port over RabbitMQ. Making one connects to nothing; every call connects when it must.
//!
//! `publish` never declares a queue of ours: a missing queue is refused as unroutable. Bound exchanges and queues are
//! declared before the first publish, so that a mail sent before the first worker ever ran is kept.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Capabilities, Capability, ConsumeOptions, Consumer, Envelope, QueueName,
    broker::Binding,
};
use futures::future::join_all;

use super::{
    config::Config,
    consumer::AmqpConsumer,
    error::{NAME, unavailable},
    ladder,
    shared::Shared,
};

/// The first and the longest pause between two looks at objects that could not be made.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// RabbitMQ as a broker. Cheap to clone.
#[derive(Clone)]
pub struct RabbitMqBroker {
    shared: Arc<Shared>,
}

impl RabbitMqBroker {
    /// A broker for this server. Bindings name foreign queues; all other queues are our own.
    pub fn new(config: Config, bindings: Vec<Binding>) -> Self {
        Self { shared: Arc::new(Shared::new(config, bindings)) }
    }

    /// Host, port and virtual host: no credentials.
    pub fn address(&self) -> String {
        self.shared.config.address()
    }
}

/// Looks whether the objects that retries and dead letters need can be made, and again until they can: a missing right
/// is to be known when the worker starts, and not when the first job fails.
fn watch_objects(shared: &Arc<Shared>, queue: &QueueName) {
    if !shared.troubles.begin_watch(queue) {
        return;
    }
    let (watched, queue) = (Arc::downgrade(shared), queue.clone());
    tokio::spawn(async move {
        let mut pause = LOOK_AGAIN.0;
        while let Some(shared) = watched.upgrade() {
            match shared.topology.prepare(&queue).await {
                Ok(()) => return shared.troubles.end_watch(&queue),
                Err(BrokerError::Closed) => return,
                Err(error @ BrokerError::Rejected { .. }) => {
                    tracing::warn!(%queue, %error, "retries or dead letters of this queue will fail");
                    shared.troubles.object(&queue, &error);
                }
                Err(error) => tracing::debug!(%queue, %error, "what retries need could not be looked at"),
            }
            drop(shared);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN.1);
        }
    });
}

#[async_trait]
impl Broker for RabbitMqBroker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(&[Capability::Delay])
    }

    async fn declare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.shared.topology.declare(queue, self.shared.binding(queue)).await
    }

    /// And the first step of its retries, and its dead-letter queue.
    async fn prepare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.declare(queue).await?;
        self.shared.topology.prepare(queue).await
    }

    async fn inspect(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.shared.topology.inspect(queue, self.shared.binding(queue)).await
    }

    async fn publish(&self, batch: Vec<Envelope>) -> Vec<Result<Accepted, BrokerError>> {
        join_all(batch.into_iter().map(|envelope| self.shared.publish_first(envelope))).await
    }

    async fn consume(
        &self,
        queue: &QueueName,
        options: ConsumeOptions,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.declare(queue).await?;
        watch_objects(&self.shared, queue);
        let consumer = AmqpConsumer::subscribe(self.shared.clone(), queue.clone(), &options).await?;
        Ok(Box::new(consumer))
    }

    /// The steps of the ladder.
    fn lateness(&self, delay: Duration) -> Duration {
        ladder::lateness(delay)
    }

    async fn depth(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.shared.topology.depth(queue.as_str()).await
    }

    async fn left(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        self.shared.topology.left(queue).await
    }

    async fn remove(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.shared.topology.remove(queue.as_str()).await
    }

    fn trouble(&self, queue: &QueueName) -> Option<String> {
        self.shared.troubles.of(queue)
    }

    async fn ping(&self) -> Result<(), BrokerError> {
        let wire = self.shared.publisher.wire().await?;
        if let Some(reason) = wire.blocked() {
            return Err(unavailable(format!("the server blocks publishing: {reason}")));
        }
        self.shared.topology.ping(&wire).await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.shared.publisher.close().await;
        self.shared.work.close().await;
        Ok(())
    }
}

impl fmt::Debug for RabbitMqBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqBroker")
            .field("server", &self.shared.config.address())
            .finish_non_exhaustive()
    }
}
