//! A server under test and the raw look at it that the adapter does not give.

use std::{process::Stdio, sync::Arc, time::Duration};

use backshift_brokers::rabbitmq::{Config, Options, RabbitMqBroker};
use backshift_core::{
    Ack, Broker, Bytes, Completion, ConsumeOptions, Consumer, Delivery, Envelope, Headers, Kind, QueueName,
    Timestamp, WorkerName,
    broker::{Binding, Decoded, Decoder, Occupied},
};
use backshift_testkit::{programs, servers, wait};
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// One server.
pub(super) struct Site {
    pub(super) url: String,
    pub(super) management: String,
}

impl Site {
    pub(super) fn old() -> Option<Self> {
        Some(Self {
            url: servers::require("RABBITMQ_URL")?,
            management: servers::require("RABBITMQ_MANAGEMENT_URL")?,
        })
    }

    pub(super) fn new() -> Option<Self> {
        Some(Self {
            url: servers::require("RABBITMQ4_URL")?,
            management: servers::require("RABBITMQ4_MANAGEMENT_URL")?,
        })
    }

    pub(super) fn broker(&self) -> RabbitMqBroker {
        self.broker_with(Options::default(), Vec::new())
    }

    pub(super) fn broker_with(&self, options: Options, bindings: Vec<Binding>) -> RabbitMqBroker {
        RabbitMqBroker::new(Config::from_url(&self.url, options).unwrap(), bindings)
    }

    /// A broker with one declared queue of its own.
    pub(super) async fn with_queue(&self) -> (RabbitMqBroker, QueueName) {
        let (broker, queue) = (self.broker(), servers::unique_queue("it"));
        broker.declare(&queue).await.unwrap();
        (broker, queue)
    }

    /// A channel that the adapter knows nothing of. Keep the connection.
    pub(super) async fn raw(&self) -> (Connection, Channel) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// One request to the management API; the status and the body.
    pub(super) async fn manage(&self, method: &str, path: &str) -> (u16, String) {
        let at =
            self.management.rsplit('@').next().unwrap().trim_start_matches("http://").trim_end_matches('/');
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {at}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Waits for a message in a queue that nobody consumes and takes it out.
    pub(super) async fn get(&self, queue: &str) -> BasicGetMessage {
        let (connection, channel) = self.raw().await;
        let found = wait::until_some(PATIENCE, || async {
            channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
        })
        .await;
        let message = found.unwrap_or_else(|| panic!("nothing came to {queue}"));
        drop(connection);
        message
    }

    /// A queue beside the bound one, as a peer that archives every mail would have it.
    pub(super) async fn neighbour(&self, exchange: &str) -> String {
        let (_connection, channel) = self.raw().await;
        let name = servers::unique_name("neighbour");
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.unwrap();
        let bind = channel.queue_bind(
            name.as_str().into(),
            exchange.into(),
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bind.await.unwrap();
        name
    }

    /// Runs the peer written in Python; `None` = skip the test.
    pub(super) async fn peer(&self, arguments: &[&str], body: &[u8]) -> Option<()> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rabbitmq/peer.py");
        let mut command = programs::python("pika").await?;
        command.arg(script).arg(&self.url).args(arguments).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(body).await.unwrap();
        assert!(child.wait().await.unwrap().success(), "the peer failed");
        Some(())
    }
}

pub(super) fn envelope(queue: &QueueName, payload: &str) -> Envelope {
    let kind = Kind::new("test.echo").unwrap();
    Envelope::new(kind, queue.clone(), payload.as_bytes().to_vec(), Timestamp::now())
}

pub(super) async fn publish(broker: &RabbitMqBroker, queue: &QueueName, payloads: &[&str]) {
    let batch = payloads.iter().map(|payload| envelope(queue, payload)).collect();
    for answer in broker.publish(batch).await {
        answer.unwrap();
    }
}

pub(super) async fn consume(broker: &RabbitMqBroker, queue: &QueueName, slots: usize) -> Box<dyn Consumer> {
    consume_beside(broker, queue, slots, &Occupied::default()).await
}

pub(super) async fn consume_beside(
    broker: &RabbitMqBroker,
    queue: &QueueName,
    slots: usize,
    occupied: &Occupied,
) -> Box<dyn Consumer> {
    let (worker, occupied) = (WorkerName::new("tester").unwrap(), occupied.clone());
    broker
        .consume(
            queue,
            ConsumeOptions { slots, kinds: None, lease: Duration::from_secs(15), worker, occupied },
        )
        .await
        .unwrap()
}

/// Takes exactly so many deliveries, in order.
pub(super) async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = wait::within(PATIENCE, consumer.next(count - taken.len()));
        taken.extend(next.await.expect("a delivery comes in time").unwrap());
    }
    taken
}

pub(super) async fn take_one(consumer: &mut Box<dyn Consumer>) -> Delivery {
    take(consumer, 1).await.remove(0)
}

pub(super) fn payload(delivery: &Delivery) -> String {
    String::from_utf8(delivery.job.as_ref().unwrap().payload.to_vec()).unwrap()
}

pub(super) fn done() -> Ack {
    Ack::Completed(Completion::default())
}

/// System C's exchange and queue under random names; a body with a Recipient is a mail.
pub(super) fn mail_binding() -> Binding {
    struct Mails;
    impl Decoder for Mails {
        fn decode(&self, raw: &Bytes, _headers: &Headers) -> Result<Decoded, String> {
            let text = std::str::from_utf8(raw).map_err(|_| "not UTF-8".to_owned())?;
            match text.starts_with('{') && text.contains("\"Recipient\"") {
                true => Ok(Kind::new("email.send").unwrap().into()),
                false => Err("not a mail".into()),
            }
        }
    }
    let queue = servers::unique_queue("smtp_send_email");
    Binding { feed: Some(format!("{queue}_exc")), queue, decoder: Arc::new(Mails) }
}
