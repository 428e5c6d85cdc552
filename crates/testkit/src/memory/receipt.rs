//! Settles one delivery of the memory broker. Dropped unsettled, the message is redelivered at once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use backshift_core::{Ack, BrokerError, DeadLetter, QueueName, Receipt, Retry, Settled, broker::Tie};
use tokio::time::Instant;

use super::{
    Faults,
    broker::{DeadMessage, Inner, Message, away, unknown},
    faults::Struck,
};

pub(super) struct MemoryReceipt {
    inner: Arc<Inner>,
    faults: Faults,
    queue: QueueName,
    tag: u64,
}

impl MemoryReceipt {
    pub(super) fn new(inner: Arc<Inner>, faults: Faults, queue: QueueName, tag: u64) -> Self {
        Self { inner, faults, queue, tag }
    }

    /// Ends the delivery; `Closed` when its connection was cut meanwhile.
    fn end(&self) -> Result<Message, BrokerError> {
        self.inner.lines().line(&self.queue).unsettled.remove(&self.tag).ok_or(BrokerError::Closed)
    }
}

async fn answer(struck: Struck, call: &'static str) -> Result<Settled, BrokerError> {
    if struck.answered().await { Err(unknown(call)) } else { Ok(Settled::Applied) }
}

#[async_trait]
impl Receipt for MemoryReceipt {
    fn tie(&self) -> Option<Tie> {
        let (inner, queue, tag) = (Arc::clone(&self.inner), self.queue.clone(), self.tag);
        Some(Tie::new(move || inner.is_cut(&queue, tag)))
    }

    async fn ack(self: Box<Self>, _ack: Ack) -> Result<Settled, BrokerError> {
        let struck = self.faults.strike("broker.ack").await.map_err(away)?;
        self.end()?;
        answer(struck, "broker.ack").await
    }

    async fn retry(self: Box<Self>, retry: Retry) -> Result<Settled, BrokerError> {
        let struck = self.faults.strike("broker.retry").await.map_err(away)?;
        self.inner.copies(&self.queue, self.tag).await?;
        // Published first: when the connection is gone, the job is doubled and never lost.
        let message = Message { job: Ok(retry.next), redelivered: false, anonymous: false };
        self.inner.put(message, &self.queue, Some(Instant::now() + retry.delay));
        self.end()?;
        answer(struck, "broker.retry").await
    }

    async fn dead_letter(self: Box<Self>, letter: DeadLetter) -> Result<Settled, BrokerError> {
        let struck = self.faults.strike("broker.dead_letter").await.map_err(away)?;
        self.inner.copies(&self.queue, self.tag).await?;
        let message = self.end()?;
        self.inner.lines().line(&self.queue).dead.push(DeadMessage { job: message.job, letter });
        answer(struck, "broker.dead_letter").await
    }

    async fn extend(&mut self, _by: Duration) -> Result<(), BrokerError> {
        self.faults.strike("broker.extend").await.map(drop).map_err(away)
    }
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        let mut lines = self.inner.lines();
        let line = lines.line(&self.queue);
        if let Some(message) = line.unsettled.remove(&self.tag) {
            let id = message.id();
            line.ready.push_back(Message { redelivered: true, ..message });
            lines.again.extend(id);
            drop(lines);
            self.inner.arrived.notify_waiters();
        }
    }
}
