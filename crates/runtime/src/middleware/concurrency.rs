//! At most so many attempts of one key at once, for the whole fleet: places in the store, held with the lease.
//!
//! A place whose worker died comes free when its lease ends.

use std::time::Duration;

use backshift_core::{Job, JobContext, JobError, JobResult, Middleware, Next};

use super::rate_limit::{job_of, spread};

type KeyOf = dyn Fn(&JobContext) -> Option<(String, u32)> + Send + Sync;

/// Limits how many attempts of one key run at once. Needs a store; without one it lets pass.
///
/// ```
/// # use {backshift_core::Job, backshift_runtime as backshift};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Push { customer: u64 }
/// # impl Job for Push { const KIND: &'static str = "crm.push"; }
/// use backshift::middleware::Concurrency;
///
/// let two_at_once_each = Concurrency::of(2, |push: &Push| format!("crm-customer-{}", push.customer));
/// ```
pub struct Concurrency {
    retry_in: Duration,
    /// The one kind that it is for, and how many at once.
    pub(crate) kind: Option<&'static str>,
    pub(crate) places: Option<u32>,
    key: Box<KeyOf>,
}

impl Concurrency {
    /// `key` gives what is limited and how many places it has; `None` = no limit for this job. A job that finds no place comes
    /// back after `retry_in` or later: the more often it found none, the later.
    pub fn new(
        retry_in: Duration,
        key: impl Fn(&JobContext) -> Option<(String, u32)> + Send + Sync + 'static,
    ) -> Self {
        Self { retry_in, kind: None, places: None, key: Box::new(key) }
    }

    /// So many jobs of one typed kind at once for each key that they name; every other kind passes. A job that finds no
    /// place comes back after a second or later.
    pub fn of<J: Job>(places: u32, key: impl Fn(&J) -> String + Send + Sync + 'static) -> Self {
        let keyed = move |context: &JobContext| job_of(context).as_ref().map(|job| (key(job), places));
        Self { kind: Some(J::KIND), places: Some(places), ..Self::new(Duration::from_secs(1), keyed) }
    }
}

impl Middleware for Concurrency {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let (Some((key, slots)), Some(lease)) = ((self.key)(&context), context.lease()) else {
            return next.run(context).await;
        };
        let Some(store) = context.store().cloned() else { return next.run(context).await };
        let placed = store.occupy(&key, slots, &lease).await;
        if !placed.map_err(|error| super::snooze::store_away(&error))? {
            let wait = spread(self.retry_in, &context);
            return Err(JobError::snooze(wait, format!("all {slots} places of {key} are taken")));
        }
        let result = next.run(context).await;
        if let Err(error) = store.vacate(&key, &lease).await {
            tracing::warn!(%error, key, "a place was not given back; it comes free with the lease");
        }
        result
    }
}
