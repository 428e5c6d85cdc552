//! lapin by hand: two ways to drain a queue and two ways to publish.
//!
//! Acks have no answer in AMQP, so a drain ends with a request on the consuming channel that the server answers in
//! order: then it has taken every ack before it.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable},
};

use crate::{harness::Seen, ours::worker::KIND};

/// Deliveries in flight, for every arm.
pub(crate) const PREFETCH: u16 = 300;
/// One `multiple` ack for so many deliveries, a tenth of the prefetch.
const ACK_EVERY: usize = 30;

/// A connection with one channel.
pub(crate) struct Raw {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Raw {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok(Self { connection, channel })
    }

    /// How many messages wait; with the consuming connection closed that includes what was not acked.
    pub(crate) async fn depth(&self, queue: &str) -> Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        Ok(self.channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
    }

    async fn consume(&self, queue: &str) -> Result<lapin::Consumer> {
        self.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        Ok(self.channel.basic_consume(queue.into(), "raw".into(), options, FieldTable::default()).await?)
    }

    /// Takes one message after the other and waits for each ack to be written.
    pub(crate) async fn drain_naive(&self, queue: &str, seen: &Seen) -> Result<()> {
        let mut deliveries = self.consume(queue).await?;
        while !seen.is_complete() {
            let delivery = deliveries.next().await.context("the server ended the consumer")??;
            seen.mark(&delivery.data)?;
            delivery.ack(BasicAckOptions::default()).await?;
        }
        self.settled().await
    }

    /// One ack for thirty messages, and for what there is when nothing more waits.
    pub(crate) async fn drain_tuned(&self, queue: &str, seen: &Seen) -> Result<()> {
        let mut deliveries = self.consume(queue).await?;
        let mut unacked = 0;
        while !seen.is_complete() {
            let delivery = deliveries.next().await.context("the server ended the consumer")??;
            seen.mark(&delivery.data)?;
            unacked += 1;
            if unacked >= ACK_EVERY || seen.is_complete() {
                self.channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
                unacked = 0;
            }
        }
        self.settled().await
    }

    /// The server has taken every ack.
    async fn settled(&self) -> Result<()> {
        Ok(self.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?)
    }

    /// Publishes with this many confirms outstanding; 1 = each is awaited before the next.
    pub(crate) async fn publish(&self, queue: &str, jobs: usize, in_flight: usize) -> Result<()> {
        self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let published = stream::iter(0..jobs).map(|number| self.publish_one(queue, number));
        published.buffer_unordered(in_flight).try_collect::<()>().await
    }

    async fn publish_one(&self, queue: &str, number: usize) -> Result<()> {
        // The message that ours writes: who it is, for which handler, and when it was made.
        let now = jiff::Timestamp::now();
        let mut headers = FieldTable::default();
        headers.insert("backshift-created-at".into(), AMQPValue::LongString(now.to_string().into()));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(uuid::Uuid::now_v7().to_string().into())
            .with_type(KIND.into())
            .with_timestamp(now.as_second().unsigned_abs())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let payload = Seen::payload(number);
        let sent = self.channel.basic_publish("".into(), queue.into(), options, &payload, properties).await?;
        let confirm = sent.await?;
        ensure!(matches!(confirm, Confirmation::Ack(None)), "a message was not taken: {confirm:?}");
        Ok(())
    }

    pub(crate) async fn delete(&self, queue: &str) -> Result<()> {
        self.channel.queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default()).await?;
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}
