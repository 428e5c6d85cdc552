//! One circuit breaker per dependency, shared by the fleet through the store.
//!
//! Open means *snooze until it half-opens*: no attempt is burnt. One probe at a time tries the dependency again; when one
//! succeeds, calls come back step by step, over the whole fleet.
//! Only errors that a retry may mend count against it; a permanent error says nothing about the dependency.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use backshift_core::{
    JobContext, JobError, JobResult, Middleware, Next, Registry, Store, Verdict,
    store::{Admission, BreakerPolicy},
};
use tokio::time::Instant;

use super::snooze::{luck, store_away};

/// A success is told at most this often while nothing fails.
const TELL_SUCCESS_EVERY: Duration = Duration::from_secs(5);

/// Guards the kinds that name a dependency in their options. Needs a store; without one it lets pass.
///
/// ```
/// # use backshift_core::{Registry, store::BreakerPolicy};
/// # use backshift_runtime as backshift;
/// use backshift::middleware::Breaker;
///
/// let registry = Registry::default(); // with handlers of kinds that say `JobOptions::new().dependency("crm")`
/// let breaker = Breaker::new(registry.clone(), BreakerPolicy::default());
/// ```
pub struct Breaker {
    registry: Registry,
    policy: BreakerPolicy,
    told: Mutex<HashMap<&'static str, Told>>,
}

/// What this process last told about a dependency.
struct Told {
    failing: bool,
    at: Instant,
}

impl Breaker {
    /// Looks dependencies up in the registry's options.
    pub fn new(registry: Registry, policy: BreakerPolicy) -> Self {
        Self { registry, policy, told: Mutex::default() }
    }

    pub(crate) fn policy(&self) -> &BreakerPolicy {
        &self.policy
    }

    /// Whether a result has to be told: every failure, the success after one, and now and then a success.
    fn is_news(&self, dependency: &'static str, failed: bool, probe: bool) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.get(dependency);
        let stale = before.is_none_or(|told| told.failing || told.at.elapsed() >= TELL_SUCCESS_EVERY);
        let news = failed || probe || stale;
        if news {
            told.insert(dependency, Told { failing: failed, at: Instant::now() });
        }
        news
    }

    async fn tell(&self, store: &dyn Store, dependency: &'static str, probe: bool, result: &JobResult) {
        let verdict = match result {
            Ok(()) => Ok(()),
            Err(error) => match error.verdict() {
                Verdict::Retry | Verdict::Throttled { .. } => Err(error.message().to_owned()),
                // The dependency answered; that the answer was no is the job's matter.
                Verdict::DeadLetter(_) => Ok(()),
                // Perhaps it was not even asked; a probe's hold runs out by itself.
                Verdict::Snooze(_) | Verdict::Cancel => return,
            },
        };
        if self.is_news(dependency, verdict.is_err(), probe)
            && let Err(error) = store.report(dependency, self.policy, verdict).await
        {
            tracing::warn!(%error, dependency, "the breaker did not hear how a call ended");
        }
    }
}

impl Middleware for Breaker {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        let dependency = self.registry.options(context.kind()).and_then(|options| options.dependency);
        let (Some(dependency), Some(store)) = (dependency, context.store().cloned()) else {
            return next.run(context).await;
        };
        let admission = store.admit(dependency).await.map_err(|error| store_away(&error))?;
        if let Admission::Wait(wait) = admission {
            metrics::counter!("backshift_breaker_snoozes_total", "dependency" => dependency).increment(1);
            let later = wait + wait.mul_f64(luck(&context) / 4.0);
            return Err(JobError::snooze(
                later,
                format!("{dependency} is failing; its breaker is open for {wait:?}"),
            ));
        }
        let told_to_stop = context.clone();
        let probe = admission == Admission::Probe;
        if probe {
            metrics::counter!("backshift_breaker_probes_total", "dependency" => dependency).increment(1);
        }
        let result = next.run(context).await;
        // A handler that the worker stopped says nothing about the dependency; the probe's hold runs out.
        if result.is_ok() || !told_to_stop.is_cancelled() || is_time_out(&result) {
            self.tell(store.as_ref(), dependency, probe, &result).await;
        }
        result
    }
}

/// The innermost part reports a time-out with these words.
fn is_time_out(result: &JobResult) -> bool {
    matches!(result, Err(error) if error.message() == crate::executor::TIMED_OUT)
}
