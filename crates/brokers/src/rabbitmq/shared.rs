//! What the broker, its consumers and their receipts share: the connections, the publisher and what is declared.

use std::{sync::Arc, time::Duration};

use backshift_core::{
    Accepted, BrokerError, Bytes, Capability, Clock, Envelope, QueueName, SystemClock, Timestamp,
    broker::Binding, wire::STARTED,
};

use super::{
    config::Config,
    error::{NAME, rejected},
    ladder,
    message::MAX_BODY_BYTES,
    properties,
    publisher::Publisher,
    publishing::Message,
    topology::Topology,
    troubles::Troubles,
    wire::Link,
};

/// What consumers and receipts need of the broker.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) work: Arc<Link>,
    pub(super) publisher: Publisher,
    pub(super) topology: Topology,
    pub(super) troubles: Troubles,
    bindings: Vec<Binding>,
}

impl Shared {
    pub(super) fn new(config: Config, bindings: Vec<Binding>) -> Self {
        let config = Arc::new(config);
        let work = Arc::new(Link::new(config.clone(), "working"));
        Self {
            publisher: Publisher::new(config.clone()),
            topology: Topology::new(config.clone(), work.clone()),
            troubles: Troubles::default(),
            work,
            config,
            bindings,
        }
    }

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

    pub(super) async fn publish_first(&self, envelope: Envelope) -> Result<Accepted, BrokerError> {
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
