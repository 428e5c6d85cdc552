//! Our RabbitMQ broker: the worker that drains, the client that enqueues.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use backshift_brokers::rabbitmq::{Config, Options, QueueType, RabbitMqBroker};
use backshift_core::{Broker, Client, Clock, Envelope, Kind, QueueName, SystemClock};

use super::worker::KIND;
use crate::harness::Seen;

/// A broker whose own queues are of this type.
pub(crate) fn broker(url: &str, queue_type: QueueType) -> Result<Arc<RabbitMqBroker>> {
    let config = Config::from_url(url, Options { queue_type, ..Options::default() })?;
    Ok(Arc::new(RabbitMqBroker::new(config, Vec::new())))
}

/// Fills a queue, declaring it.
pub(crate) async fn fill(broker: &dyn Broker, queue: &QueueName, jobs: usize) -> Result<()> {
    const AT_ONCE: usize = 4096;
    broker.declare(queue).await?;
    for begin in (0..jobs).step_by(AT_ONCE) {
        let numbers = begin..jobs.min(begin + AT_ONCE);
        let batch = numbers.map(|number| envelope(queue, number)).collect::<Result<_>>()?;
        for accepted in broker.publish(batch).await {
            accepted?;
        }
    }
    Ok(())
}

/// A job as every fill makes it.
pub(crate) fn envelope(queue: &QueueName, number: usize) -> Result<Envelope> {
    Ok(Envelope::new(Kind::new(KIND)?, queue.clone(), Seen::payload(number), SystemClock.now()))
}

/// So many callers at once, each waiting for its own durable answer.
pub(crate) async fn enqueue(
    broker: Arc<dyn Broker>,
    queue: &QueueName,
    jobs: usize,
    callers: usize,
) -> Result<()> {
    let client = Client::new(broker, None);
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (client, queue) = (client.clone(), queue.clone());
        calls.spawn(async move {
            for number in (caller..jobs).step_by(callers) {
                client.enqueue_raw(envelope(&queue, number)?).await.map_err(|error| anyhow!("{error}"))?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}
