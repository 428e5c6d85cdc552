//! So many jobs in such a time, per key, for the whole fleet: a reservation in the store before each attempt.
//!
//! Over the limit the job is snoozed until its turn; no attempt is burnt.

use std::time::Duration;

use backshift_core::{Job, JobContext, JobError, JobResult, Middleware, Next, store::Rate};

use super::snooze::{luck, store_away};

type KeyOf = dyn Fn(&JobContext) -> Option<String> + Send + Sync;

/// Limits how often attempts of one key begin. Needs a store; without one it lets pass.
///
/// ```
/// # use {backshift_core::Job, backshift_runtime as backshift};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Push { customer: u64 }
/// # impl Job for Push { const KIND: &'static str = "crm.push"; }
/// # use backshift_core::store::Rate;
/// use backshift::middleware::RateLimit;
///
/// let ten_a_second_each =
///     RateLimit::of(Rate::per_second(10), |push: &Push| format!("crm-customer-{}", push.customer));
/// ```
pub struct RateLimit {
    pub(crate) rate: Rate,
    /// The one kind that it is for.
    pub(crate) kind: Option<&'static str>,
    key: Box<KeyOf>,
}

impl RateLimit {
    /// `key` names what is limited, such as a tenant or an address; `None` = no limit for this job.
    pub fn new(rate: Rate, key: impl Fn(&JobContext) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { rate, kind: None, key: Box::new(key) }
    }

    /// Limits one typed kind by something that its job names; every other kind passes.
    pub fn of<J: Job>(rate: Rate, key: impl Fn(&J) -> String + Send + Sync + 'static) -> Self {
        let limit = Self::new(rate, move |context| job_of(context).as_ref().map(&key));
        Self { kind: Some(J::KIND), ..limit }
    }
}

impl Middleware for RateLimit {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        if let (Some(key), Some(store)) = ((self.key)(&context), context.store()) {
            let wait = store.reserve(&key, self.rate).await;
            let wait = wait.map_err(|error| store_away(&error))?;
            if let Some(wait) = wait {
                let text = format!("rate limit of {key}: next turn in {wait:?}");
                return Err(JobError::snooze(spread(wait, &context), text));
            }
        }
        next.run(context).await
    }
}

/// The job of a context, when it is of this kind and can be read; the handler says what is wrong with one that cannot.
pub(super) fn job_of<J: Job>(context: &JobContext) -> Option<J> {
    let mine = context.kind().as_str() == J::KIND;
    mine.then(|| serde_json::from_slice(&context.envelope().payload).ok()).flatten()
}

/// The most that is added to a wait.
const MOST: Duration = Duration::from_secs(300);

/// Longer and more random with every time, so that a backlog does not come back as one crowd for one place.
pub(super) fn spread(wait: Duration, context: &JobContext) -> Duration {
    let crowd = wait.saturating_mul(1 << context.starts().min(6)).min(MOST);
    wait + crowd.mul_f64(luck(context))
}
