//! Exchanges and queues: our own with names of their own, foreign ones exactly as their peers declare them.
//!
//! Every declaration has a throw-away channel, because a refused one ends its channel. Names that are known to exist
//! are remembered, and forgotten when a publish finds that they do not.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{BrokerError, QueueName, broker::Binding};
use lapin::{
    ExchangeKind, Queue,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    config::{Config, QueueType},
    error::{refused_or_away, rejected, reply_code, unavailable},
    ladder,
    wire::{Link, Wire},
};

/// Attempts are counted in our header and in the ledger; 4.x would dead-letter after 20 returns by itself.
const DELIVERY_LIMIT: i32 = 1_000_000_000;

/// Declares what is needed, lazily.
pub(super) struct Topology {
    config: Arc<Config>,
    link: Arc<Link>,
    known: Mutex<HashSet<String>>,
}

impl Topology {
    pub(super) fn new(config: Arc<Config>, link: Arc<Link>) -> Self {
        Self { config, link, known: Mutex::default() }
    }

    /// The queue that jobs stand in: foreign when there is a binding, else our own.
    pub(super) async fn declare(
        &self,
        queue: &QueueName,
        binding: Option<&Binding>,
    ) -> Result<(), BrokerError> {
        match binding {
            Some(binding) => self.declare_foreign(binding).await?,
            None => self.declare_own(queue).await?,
        }
        self.remember(queue.as_str());
        Ok(())
    }

    /// The same, unless it is known to exist.
    pub(super) async fn ensure(
        &self,
        queue: &QueueName,
        binding: Option<&Binding>,
    ) -> Result<(), BrokerError> {
        if self.knows(queue.as_str()) {
            return Ok(());
        }
        self.declare(queue, binding).await
    }

    /// The retry queue for the next step; its target must exist, or the job would wait for nothing.
    pub(super) async fn ensure_step(
        &self,
        queue: &QueueName,
        label: &str,
        ttl: Duration,
    ) -> Result<String, BrokerError> {
        let name = ladder::queue(queue, label);
        if self.knows(&name) {
            return Ok(name);
        }
        self.depth(queue.as_str()).await?;
        // One that was made when the queues were of the other type does the same.
        let (first, second) = match self.config.options.queue_type {
            QueueType::Classic => (QueueType::Classic, QueueType::Quorum),
            QueueType::Quorum | QueueType::Existing => (QueueType::Quorum, QueueType::Classic),
        };
        if let Err(refused) = self.allowed(&name, step_arguments(first, queue, ttl)).await {
            let other = self.allowed(&name, step_arguments(second, queue, ttl)).await;
            other.map_err(|_| match refused {
                BrokerError::Rejected { .. } => rejected(format!(
                    "{refused} ({name} is Backshift's own: deleted when it is empty, it is made again)"
                )),
                other => other,
            })?;
        }
        self.remember(&name);
        Ok(name)
    }

    /// A queue of our own. Its messages are its peers' as well: with other properties it is taken only when told so.
    async fn declare_own(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let kind = self.config.options.queue_type;
        if kind == QueueType::Existing && self.exists(queue.as_str()).await? {
            return Ok(());
        }
        self.allowed(queue.as_str(), own_arguments(kind)).await
    }

    /// Declares a queue. Whoever may not declare takes one that is there as it is.
    async fn allowed(&self, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
        let wire = self.link.open().await?;
        let channel = wire.channel().await?;
        let declared = channel.queue_declare(name.into(), durable(), arguments);
        let doing = format!("declaring queue {name}");
        let error = match tokio::time::timeout(self.config.options.connect_timeout, declared).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(unavailable(format!("{doing}: no answer"))),
        };
        if reply_code(&error) == Some(403) && self.exists(name).await? {
            return Ok(());
        }
        Err(refused_or_away(&doing, &error))
    }

    /// The dead-letter queue. One that exists is taken as it is; a server without quorum queues gets a classic one.
    pub(super) async fn ensure_dlq(&self, queue: &QueueName) -> Result<String, BrokerError> {
        let name = format!("{queue}.dlq");
        if self.knows(&name) {
            return Ok(name);
        }
        if !self.exists(&name).await? {
            match self.allowed(&name, own_arguments(QueueType::Quorum)).await {
                Err(BrokerError::Rejected { .. }) if !self.exists(&name).await? => {
                    self.allowed(&name, FieldTable::default()).await?;
                }
                answer => answer?,
            }
        }
        self.remember(&name);
        Ok(name)
    }

    /// Makes what retries and dead letters of the queue need, and compares what is there with what they need.
    pub(super) async fn prepare(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.forget(&format!("{queue}.dlq"));
        self.ensure_dlq(queue).await?;
        for (label, ttl) in ladder::STEPS {
            let name = ladder::queue(queue, label);
            self.forget(&name);
            // The first step is what nearly every retry needs; the others are made with the first job that waits so long.
            if label == ladder::STEPS[0].0 || self.exists(&name).await? {
                self.ensure_step(queue, label, ttl).await?;
            }
        }
        Ok(())
    }

    /// Compares what is there with what we would declare; a queue that is not there is not made.
    pub(super) async fn inspect(
        &self,
        queue: &QueueName,
        binding: Option<&Binding>,
    ) -> Result<bool, BrokerError> {
        if !self.exists(queue.as_str()).await? {
            return Ok(false);
        }
        match (binding, self.config.options.queue_type) {
            (Some(_), QueueType::Existing) => {}
            (Some(_), _) => self.allowed(queue.as_str(), FieldTable::default()).await?,
            (None, _) => self.declare_own(queue).await?,
        }
        Ok(true)
    }

    /// How many messages are ready; a missing queue is [`BrokerError::Rejected`].
    pub(super) async fn depth(&self, queue: &str) -> Result<u64, BrokerError> {
        let passive = QueueDeclareOptions { passive: true, ..durable() };
        Ok(u64::from(self.queue(queue, passive, FieldTable::default()).await?.message_count()))
    }

    /// How many messages are ready in the queue and in the steps of its ladder.
    pub(super) async fn left(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        let mut left = self.depth(queue.as_str()).await?;
        for (label, _) in ladder::STEPS {
            let name = ladder::queue(queue, label);
            if self.exists(&name).await? {
                left += self.depth(&name).await?;
            }
        }
        Ok(left)
    }

    /// Deletes a queue with what is in it; a missing one is not an error.
    pub(super) async fn remove(&self, queue: &str) -> Result<(), BrokerError> {
        let wire = self.link.open().await?;
        let channel = wire.channel().await?;
        let removed = channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        wire.ask(&format!("deleting {queue}"), removed).await?;
        self.forget(queue);
        Ok(())
    }

    /// A round trip to the server.
    pub(super) async fn ping(&self, wire: &Wire) -> Result<(), BrokerError> {
        let channel = wire.channel().await?;
        wire.ask("closing a channel", channel.close(200, "ping".into())).await
    }

    /// Forgets a name that turned out to be gone.
    pub(super) fn forget(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    async fn declare_foreign(&self, binding: &Binding) -> Result<(), BrokerError> {
        let queue = binding.queue.as_str();
        match self.config.options.queue_type {
            QueueType::Existing if self.exists(queue).await? => {}
            _ => self.allowed(queue, FieldTable::default()).await?,
        }
        let Some(exchange) = &binding.feed else { return Ok(()) };
        let wire = self.link.open().await?;
        let channel = wire.channel().await?;
        let (queue, doing) = (queue.to_owned(), format!("declaring exchange {exchange}"));
        let name = lapin::types::ShortString::try_new(exchange.as_str())
            .map_err(|_| rejected(format!("{doing}: a name has at most 255 bytes")))?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared =
            channel.exchange_declare(name.clone(), ExchangeKind::Fanout, options, FieldTable::default());
        wire.ask(&doing, declared).await?;
        let bound = channel.queue_bind(
            queue.as_str().into(),
            name,
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        wire.ask(&format!("binding {queue} to {exchange}"), bound).await
    }

    async fn exists(&self, name: &str) -> Result<bool, BrokerError> {
        let wire = self.link.open().await?;
        let channel = wire.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..durable() };
        let asked = channel.queue_declare(name.into(), passive, FieldTable::default());
        match tokio::time::timeout(self.config.options.connect_timeout, asked).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if reply_code(&error) == Some(404) => Ok(false),
            Ok(Err(error)) => Err(refused_or_away(&format!("looking for queue {name}"), &error)),
            Err(_) => Err(unavailable(format!("looking for queue {name}: no answer"))),
        }
    }

    async fn queue(
        &self,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<Queue, BrokerError> {
        let wire = self.link.open().await?;
        let channel = wire.channel().await?;
        let doing = format!("{} queue {name}", if options.passive { "looking for" } else { "declaring" });
        wire.ask(&doing, channel.queue_declare(name.into(), options, arguments)).await
    }

    fn knows(&self, name: &str) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn remember(&self, name: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }
}

fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }
}

fn own_arguments(kind: QueueType) -> FieldTable {
    let mut table = FieldTable::default();
    if kind != QueueType::Classic {
        table.insert("x-queue-type".into(), long("quorum"));
        table.insert("x-delivery-limit".into(), AMQPValue::LongInt(DELIVERY_LIMIT));
    }
    table
}

fn step_arguments(kind: QueueType, target: &QueueName, ttl: Duration) -> FieldTable {
    let mut table = FieldTable::default();
    let ttl = i32::try_from(ttl.as_millis()).unwrap_or(i32::MAX);
    table.insert("x-message-ttl".into(), AMQPValue::LongInt(ttl));
    table.insert("x-dead-letter-exchange".into(), long(""));
    table.insert("x-dead-letter-routing-key".into(), long(target.as_str()));
    if kind != QueueType::Classic {
        table.insert("x-queue-type".into(), long("quorum"));
        // The server keeps the message until its target has confirmed it; that needs this overflow policy.
        table.insert("x-dead-letter-strategy".into(), long("at-least-once"));
        table.insert("x-overflow".into(), long("reject-publish"));
    }
    table
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
