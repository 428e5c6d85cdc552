//! What a consumer asks its server for: a subscription, or single messages.
//!
//! Each question owns what it needs, so that whoever asked may be dropped and hear the answer later.

use std::{sync::Arc, time::Duration};

use backshift_core::{BrokerError, QueueName};
use lapin::{
    Channel,
    message::Delivery,
    options::{BasicConsumeOptions, BasicGetOptions},
    types::FieldTable,
};
use tokio::time::sleep;

use super::connection::Wire;

/// How long an empty queue is left alone.
const PAUSE: Duration = Duration::from_millis(250);
/// The most messages in one answer.
const MOST: usize = 64;

/// What came of a question.
pub(super) enum Answer {
    Subscribed(lapin::Consumer),
    /// Nothing, after a pause.
    Pulled(Vec<Delivery>),
}

/// Lets the server push.
pub(super) async fn subscribe(
    wire: Arc<Wire>,
    channel: Channel,
    queue: QueueName,
    tag: String,
) -> Result<Answer, BrokerError> {
    let subscribed = channel.basic_consume(
        queue.as_str().into(),
        tag.into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    wire.ask(&format!("subscribing to {queue}"), subscribed).await.map(Answer::Subscribed)
}

/// Takes what is there, at most so much.
pub(super) async fn pull(
    wire: Arc<Wire>,
    channel: Channel,
    queue: QueueName,
    most: usize,
) -> Result<Answer, BrokerError> {
    let mut pulled = Vec::new();
    while pulled.len() < most.min(MOST) {
        let asked = channel.basic_get(queue.as_str().into(), BasicGetOptions::default());
        match wire.ask(&format!("asking for messages of {queue}"), asked).await {
            Ok(Some(message)) => pulled.push(message.delivery),
            Ok(None) => break,
            Err(error) if pulled.is_empty() => return Err(error),
            // What came before it is handed out; the next question hears the error again.
            Err(_) => break,
        }
    }
    if pulled.is_empty() {
        sleep(PAUSE).await;
    }
    Ok(Answer::Pulled(pulled))
}
