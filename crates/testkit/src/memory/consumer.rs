//! Takes deliveries from one line of the memory broker. A dropped `next` has taken nothing.

use std::sync::Arc;

use async_trait::async_trait;
use backshift_core::{BrokerError, Consumer, Delivery, QueueName};
use tokio::time::{Instant, sleep_until};

use super::{
    Faults,
    broker::{Inner, away},
    receipt::MemoryReceipt,
};

pub(super) struct MemoryConsumer {
    inner: Arc<Inner>,
    faults: Faults,
    queue: QueueName,
    quiet: bool,
}

impl MemoryConsumer {
    pub(super) fn new(inner: Arc<Inner>, faults: Faults, queue: QueueName) -> Self {
        Self { inner, faults, queue, quiet: false }
    }

    /// What may be taken now, and when the next delayed message is due.
    fn take(&self, free: usize) -> (Vec<Delivery>, Option<Instant>) {
        let mut lines = self.inner.lines();
        let line = lines.line(&self.queue);
        while let Some(entry) = line.delayed.first_entry() {
            if entry.key().0 > Instant::now() {
                break;
            }
            let message = entry.remove();
            line.ready.push_back(message);
        }
        let count = free.min(line.ready.len());
        let taken: Vec<_> = line.ready.drain(..count).collect();
        let next_due = line.delayed.keys().next().map(|key| key.0);
        let mut deliveries = Vec::with_capacity(taken.len());
        for message in taken {
            let tag = lines.tag();
            lines.line(&self.queue).unsettled.insert(tag, message.clone());
            let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
            deliveries.push(Delivery {
                job: message.job,
                redelivered: message.redelivered,
                anonymous: message.anonymous,
                start: None,
                claimed_at: None,
                receipt: Box::new(MemoryReceipt::new(inner, faults, self.queue.clone(), tag)),
            });
        }
        (deliveries, next_due)
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self, free: usize) -> Result<Vec<Delivery>, BrokerError> {
        loop {
            if self.quiet {
                return Err(BrokerError::Closed);
            }
            self.faults.strike("broker.next").await.map_err(away)?;
            let inner = Arc::clone(&self.inner);
            let mut arrived = std::pin::pin!(inner.arrived.notified());
            arrived.as_mut().enable();
            let (deliveries, next_due) = self.take(free);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            match next_due {
                Some(at) => tokio::select! { biased; () = arrived => {}, () = sleep_until(at) => {} },
                None => arrived.await,
            }
        }
    }

    async fn quiet(&mut self) {
        self.quiet = true;
    }
}
