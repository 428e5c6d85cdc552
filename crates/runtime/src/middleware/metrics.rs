//! Counts and times attempts and enqueues. An attempt that snoozes or is cancelled is neither completed nor failed.

use std::sync::atomic::{AtomicU64, Ordering};

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

impl Middleware for Metrics {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let (kind, queue) = (context.kind().to_string(), context.queue().to_string());
        let labels = [("kind", kind), ("queue", queue)];
        if context.starts() == 1 && context.attempt() == 1 {
            counter!("backshift_jobs_taken_total", &labels).increment(1);
        }
        let _active = Active::enter();
        let began = Instant::now();
        let result = next.run(context).await;
        histogram!("backshift_attempt_duration_seconds", &labels).record(began.elapsed().as_secs_f64());
        match &result {
            Ok(()) => counter!("backshift_jobs_completed_total", &labels).increment(1),
            Err(error) if matches!(error.verdict(), Verdict::Snooze(_) | Verdict::Cancel) => {}
            Err(_) => counter!("backshift_attempts_failed_total", &labels).increment(1),
        }
        result
    }
}

/// Counts itself out even when the attempt is dropped.
struct Active;

impl Active {
    fn enter() -> Self {
        gauge!("backshift_jobs_running").increment(1.0);
        Self
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        gauge!("backshift_jobs_running").decrement(1.0);
    }
}

/// Counts every accepted enqueue, for `backshift_jobs_enqueued_per_second`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublishMetrics;

impl EnqueueMiddleware for PublishMetrics {
    async fn around(&self, envelope: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
        let accepted = next.run(envelope).await?;
        PUBLISHED.fetch_add(1, Ordering::Relaxed);
        counter!("backshift_jobs_enqueued_total").increment(1);
        Ok(accepted)
    }
}
