//! Counts and times attempts and enqueues under the seed's names, no suffix added (contracts/system-c.md).

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use backshift_core::{
    Accepted, EnqueueMiddleware, Envelope, JobContext, JobResult, Middleware, Next, NextEnqueue, Verdict,
    client::EnqueueError,
};
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

static PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// How many enqueues of this process passed [`PublishMetrics`].
pub(crate) fn published() -> u64 {
    PUBLISHED.load(Ordering::Relaxed)
}

/// Measures every attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics;

#[async_trait]
impl Middleware for Metrics {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let (kind, queue) = (context.kind().to_string(), context.queue().to_string());
        let labels = [("kind", kind), ("queue", queue)];
        if context.starts() == 1 && context.attempt() == 1 {
            counter!("messages_consumed_total", &labels).increment(1);
        }
        let _active = Active::enter();
        let began = Instant::now();
        let result = next.run(context).await;
        histogram!("message_processing_duration_seconds", &labels).record(began.elapsed().as_secs_f64());
        match &result {
            Ok(()) => counter!("messages_processed_success", &labels).increment(1),
            Err(error) if matches!(error.verdict(), Verdict::Snooze(_) | Verdict::Cancel) => {}
            Err(_) => counter!("messages_processed_errors", &labels).increment(1),
        }
        result
    }
}

/// Counts itself out even when the attempt is dropped.
struct Active;

impl Active {
    fn enter() -> Self {
        gauge!("active_goroutines").increment(1.0);
        gauge!("active_tasks").increment(1.0);
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        gauge!("active_goroutines").decrement(1.0);
        gauge!("active_tasks").decrement(1.0);
    }
}

/// Counts every accepted enqueue, for `message_publish_rate`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublishMetrics;

#[async_trait]
impl EnqueueMiddleware for PublishMetrics {
    async fn around(&self, envelope: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
        let accepted = next.run(envelope).await?;
        PUBLISHED.fetch_add(1, Ordering::Relaxed);
        counter!("messages_published_total").increment(1);
        Ok(accepted)
    }
}
