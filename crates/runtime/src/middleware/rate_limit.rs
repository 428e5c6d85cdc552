//! So many jobs in such a time, per key, for the whole fleet: a reservation in the store before each attempt.
//!
//! Over the limit the job is snoozed until its turn; no attempt is burnt.

use async_trait::async_trait;
use backshift_core::{JobContext, JobError, JobResult, Middleware, Next, store::Rate};

type KeyOf = dyn Fn(&JobContext) -> Option<String> + Send + Sync;

/// Limits how often attempts of one key begin. Needs a store; without one it lets pass.
pub struct RateLimit {
    rate: Rate,
    key: Box<KeyOf>,
}

impl RateLimit {
    /// `key` names what is limited, such as a tenant or an address; `None` = no limit for this job.
    pub fn new(rate: Rate, key: impl Fn(&JobContext) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { rate, key: Box::new(key) }
    }
}

#[async_trait]
impl Middleware for RateLimit {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        if let (Some(key), Some(store)) = ((self.key)(&context), context.store()) {
            let wait = store.reserve(&key, self.rate).await;
            let wait = wait.map_err(|error| super::breaker::store_away(&error))?;
            if let Some(wait) = wait {
                return Err(JobError::snooze(wait, format!("rate limit of {key}: next turn in {wait:?}")));
            }
        }
        next.run(context).await
    }
}
