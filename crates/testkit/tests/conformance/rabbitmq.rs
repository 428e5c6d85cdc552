//! The harness of RabbitMQ: every connection passes a proxy of its own, so that one process can die.
//!
//! Queues have random names, so the cases share a virtual host.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use backshift_brokers::rabbitmq::{Config, Options, QueueType, RabbitMqBroker, STEPS};
use backshift_core::{Broker, Bytes, Kind, QueueName};
use backshift_testkit::{
    conformance::{
        BrokerHarness, Corpse, DeadJob, EngineHarness, EngineParts, Namespace, OpenStore, StoreHarness,
    },
    proxy::Proxy,
};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{
        BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};

/// One server and one type of queue.
#[derive(Clone)]
pub(crate) struct RabbitMq {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) queues: QueueType,
}

impl RabbitMq {
    fn space(&self) -> Arc<dyn Namespace> {
        Arc::new(Space { url: self.url.clone(), queues: self.queues, connections: Mutex::default() })
    }
}

#[async_trait]
impl BrokerHarness for RabbitMq {
    fn name(&self) -> String {
        self.name.into()
    }

    async fn namespace(&self) -> Result<Arc<dyn Namespace>, String> {
        Ok(self.space())
    }
}

/// RabbitMQ with the ledger of a store.
pub(crate) struct RabbitMqWith<S> {
    pub(crate) broker: RabbitMq,
    pub(crate) stores: S,
}

#[async_trait]
impl<S: StoreHarness> EngineHarness for RabbitMqWith<S> {
    fn name(&self) -> String {
        format!("{}+{}", self.broker.name, self.stores.name())
    }

    async fn parts(&self) -> Result<EngineParts, String> {
        let OpenStore { store, guard } = self.stores.store().await?;
        Ok(EngineParts { namespace: self.broker.space(), store, guard })
    }

    fn lease(&self) -> std::time::Duration {
        self.stores.lease()
    }
}

/// A connection as another process would have it, and the proxy that it passes.
type Process = (Arc<dyn Broker>, Arc<Proxy>);

struct Space {
    url: String,
    queues: QueueType,
    connections: Mutex<Vec<Process>>,
}

impl Space {
    fn proxies(&self, of: Option<&Arc<dyn Broker>>) -> Vec<Arc<Proxy>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = connections.iter().filter(|(broker, _)| of.is_none_or(|of| Arc::ptr_eq(of, broker)));
        wanted.map(|(_, proxy)| Arc::clone(proxy)).collect()
    }

    async fn raw(&self) -> Result<Connection, String> {
        Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .map_err(|error| error.to_string())
    }

    async fn put(&self, queue: &QueueName, raw: Bytes, kind: Option<&Kind>) -> Result<(), lapin::Error> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let properties = match kind {
            Some(kind) => properties.with_type(kind.as_str().into()),
            None => properties,
        };
        let confirm =
            channel.basic_publish("".into(), queue.as_str().into(), options, &raw, properties).await?;
        confirm.await?;
        connection.close(200, "done".into()).await
    }

    async fn peek(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        let connection = self.raw().await?;
        let channel = connection.create_channel().await.map_err(|error| error.to_string())?;
        let mut letters = Vec::new();
        // Nothing is acknowledged: the letters go back when the connection ends.
        let name = format!("{queue}.dlq");
        while let Ok(Some(message)) =
            channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await
        {
            let properties = &message.delivery.properties;
            let header = |name: &str| match properties.headers().as_ref()?.inner().get(name)? {
                AMQPValue::LongString(text) => Some(text.to_string()),
                _ => None,
            };
            let id = properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok());
            let reason = header("backshift-reason").unwrap_or_default();
            letters.push(DeadJob { id, payload: Bytes::copy_from_slice(&message.delivery.data), reason });
        }
        let _ = connection.close(200, "done".into()).await;
        Ok(letters)
    }
}

#[async_trait]
impl Namespace for Space {
    async fn connect(&self) -> Result<Arc<dyn Broker>, String> {
        let (proxy, url) = Proxy::before(&self.url).await;
        let options = Options { queue_type: self.queues, ..Options::default() };
        let config = Config::from_url(&url, options).map_err(|error| error.to_string())?;
        let broker: Arc<dyn Broker> = Arc::new(RabbitMqBroker::new(config, Vec::new()));
        let entry = (Arc::clone(&broker), Arc::new(proxy));
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Ok(broker)
    }

    async fn crash(&self, corpse: Corpse) -> Result<(), String> {
        for proxy in self.proxies(Some(&corpse.broker)) {
            proxy.kill();
        }
        drop(corpse);
        Ok(())
    }

    async fn dead_letters(&self, queue: &QueueName) -> Result<Vec<DeadJob>, String> {
        self.peek(queue).await
    }

    async fn publish_malformed(&self, queue: &QueueName, raw: Bytes) -> Result<bool, String> {
        self.put(queue, raw, None).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    async fn publish_nameless(&self, queue: &QueueName, kind: &Kind, payload: Bytes) -> Result<bool, String> {
        self.put(queue, payload, Some(kind)).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    /// Retry queues that somebody made otherwise, and a dead-letter queue that takes nothing.
    async fn refuse_copies(&self, queue: &QueueName, refused: bool) -> Result<bool, String> {
        let connection = self.raw().await?;
        let channel = connection.create_channel().await.map_err(|error| error.to_string())?;
        let steps = STEPS.iter().map(|(label, _)| format!("{queue}.retry.{label}"));
        for name in steps.chain([format!("{queue}.dlq")]) {
            let name = name.as_str();
            let deleted = channel.queue_delete(name.into(), QueueDeleteOptions::default()).await;
            deleted.map_err(|error| error.to_string())?;
            let mut full = FieldTable::default();
            full.insert("x-max-length".into(), AMQPValue::LongInt(0));
            full.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            if refused {
                let declared = channel.queue_declare(name.into(), options, full).await;
                declared.map_err(|error| error.to_string())?;
            }
        }
        connection.close(200, "done".into()).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    async fn cut_connections(&self) -> Result<bool, String> {
        for proxy in self.proxies(None) {
            proxy.cut();
        }
        Ok(true)
    }
}
