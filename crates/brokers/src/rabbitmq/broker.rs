//! The broker port over RabbitMQ. Making one connects to nothing; every call connects when it must.
//!
//! `publish` never declares a queue of ours: a missing queue is refused as unroutable. Bound exchanges and queues are
//! declared before the first publish, so that a mail sent before the first worker ever ran is kept.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{
    Accepted, Broker, BrokerError, Bytes, Capabilities, Capability, Clock, ConsumeOptions, Consumer,
    Envelope, QueueName, SystemClock, Timestamp, broker::Binding, wire::STARTED,
};
use futures::future::join_all;

use super::{
    config::Config,
    connection::Link,
    consumer::AmqpConsumer,
    error::{NAME, rejected, unavailable},
    ladder,
    message::MAX_BODY_BYTES,
    properties,
    publisher::{Message, Publisher},
    topology::Topology,
    troubles::Troubles,
};

/// The first and the longest pause between two looks at objects that could not be made.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// RabbitMQ as a broker. Cheap to clone.
#[derive(Clone)]
pub struct RabbitMqBroker {
    shared: Arc<Shared>,
}

/// What consumers and receipts need of the broker.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) work: Arc<Link>,
    pub(super) publisher: Publisher,
    pub(super) topology: Topology,
    pub(super) troubles: Troubles,
    bindings: Vec<Binding>,
}

impl RabbitMqBroker {
    /// A broker for this server. Bindings name foreign queues; all other queues are our own.
    pub fn new(config: Config, bindings: Vec<Binding>) -> Self {
        let config = Arc::new(config);
        let work = Arc::new(Link::new(config.clone(), "working"));
        let shared = Shared {
            publisher: Publisher::new(config.clone()),
            topology: Topology::new(config.clone(), work.clone()),
            troubles: Troubles::default(),
            work,
            config,
            bindings,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Host, port and virtual host: no credentials.
    pub fn address(&self) -> String {
        self.shared.config.address()
    }

    /// Declares what a worker of this queue needs, with this user's rights: the queue, its first retry step and its
    /// dead-letter queue.
    ///
    /// # Errors
    /// [`BrokerError::Rejected`] names the object and what to grant or change.
    pub async fn prepare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.declare(queue).await?;
        self.shared.topology.prepare(queue).await
    }

    /// Whether the queue is there, and when it is, whether it is as a worker needs it. Makes nothing.
    pub async fn inspect(&self, queue: &QueueName) -> Result<bool, BrokerError> {
        self.shared.topology.inspect(queue, self.shared.binding(queue)).await
    }
}

impl Shared {
    pub(super) fn binding(&self, queue: &QueueName) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.queue == *queue)
    }

    /// Where a message for this queue waits until it is due: the queue itself or a step of its ladder.
    pub(super) async fn waiting_place(
        &self,
        queue: &QueueName,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<String, BrokerError> {
        let remaining = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        match ladder::step(remaining) {
            Some((label, ttl)) => self.topology.ensure_step(queue, label, ttl).await,
            None => Ok(queue.to_string()),
        }
    }

    async fn publish_first(&self, envelope: Envelope) -> Result<Accepted, BrokerError> {
        refuse_what_we_cannot(&envelope)?;
        check_size(&envelope.payload)?;
        let now = SystemClock.now();
        let properties = properties::of_first(&envelope, now)?;
        let binding = self.binding(&envelope.queue);
        let due = envelope.run_at.filter(|at| *at > now).unwrap_or(now);
        let exchange =
            binding.filter(|b| due <= now && is_first_of(b, &envelope)).and_then(|b| b.feed.clone());
        if binding.is_some() {
            self.topology.ensure(&envelope.queue, binding).await?;
        }
        let routing_key = match exchange {
            Some(_) => String::new(),
            None => self.waiting_place(&envelope.queue, due, now).await?,
        };
        let exchange = exchange.unwrap_or_default();
        let message = Message { exchange, routing_key, properties, body: envelope.payload };
        self.publish_bound(message, binding).await?;
        Ok(Accepted::New(envelope.id))
    }

    /// Publishes; when foreign or own helper objects turn out to be gone, declares them and tries once more.
    async fn publish_bound(&self, message: Message, binding: Option<&Binding>) -> Result<(), BrokerError> {
        let (again, routing_key) = (binding.map(|_| message.clone()), message.routing_key.clone());
        let first = self.publisher.publish(message).await;
        if matches!(first, Err(BrokerError::Rejected { .. })) {
            self.topology.forget(&routing_key);
            if let (Some(binding), Some(message)) = (binding, again) {
                self.topology.declare(&binding.queue, Some(binding)).await?;
                return self.publisher.publish(message).await;
            }
        }
        first
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

/// Whether the exchange's readers have not seen it and understand the payload: its decoder finds the envelope's own
/// kind in it.
fn is_first_of(binding: &Binding, envelope: &Envelope) -> bool {
    envelope.attempt == 1
        && !envelope.headers.contains_key(STARTED)
        && binding.feed.is_some()
        && binding
            .decoder
            .decode(&envelope.payload, &envelope.headers)
            .is_ok_and(|decoded| decoded.kind == envelope.kind)
}

fn refuse_what_we_cannot(envelope: &Envelope) -> Result<(), BrokerError> {
    let refuse = |capability, remedy| Err(BrokerError::Unsupported { broker: NAME, capability, remedy });
    if envelope.priority != 0 {
        return refuse(
            Capability::Priority,
            "use a queue of its own for urgent jobs, or the postgres broker",
        );
    }
    if envelope.unique.is_some() {
        return refuse(Capability::Unique, "configure a store: it keeps unique keys and hands the job over");
    }
    if envelope.idempotency_key.is_some() {
        return refuse(Capability::KnownId, "configure a store: it knows the keys and hands the job over");
    }
    Ok(())
}

fn check_size(body: &Bytes) -> Result<(), BrokerError> {
    if body.len() > MAX_BODY_BYTES {
        let size = body.len();
        return Err(rejected(format!("the payload has {size} bytes, {MAX_BODY_BYTES} are allowed")));
    }
    Ok(())
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
