//! Three kinds that do nothing but show how jobs live: one that succeeds, one that takes its time, one that fails at first.
//!
//! Only `dev` registers them. They touch nothing, so running one twice is harmless.

use std::time::Duration;

use backshift_core::{Backoff, Job, JobContext, JobError, JobOptions, JobResult, Registry};
use serde::{Deserialize, Serialize};

/// Succeeds, or is refused for good when its payload says so.
#[derive(Debug, Serialize, Deserialize)]
pub struct DemoOk {
    /// Fail for good.
    #[serde(default)]
    fail: bool,
}

impl Job for DemoOk {
    const KIND: &'static str = "demo.ok";
}

/// Takes some seconds and says how far it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct DemoSlow {
    /// How many, at most a minute.
    #[serde(default = "some_seconds")]
    seconds: u8,
}

impl Job for DemoSlow {
    const KIND: &'static str = "demo.slow";
}

fn some_seconds() -> u8 {
    10
}

/// Fails some times before it succeeds.
#[derive(Debug, Serialize, Deserialize)]
pub struct DemoFlaky {
    /// How many times.
    #[serde(default = "twice")]
    fails: u32,
}

impl Job for DemoFlaky {
    const KIND: &'static str = "demo.flaky";

    fn options() -> JobOptions {
        let backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(10) };
        JobOptions::new().max_attempts(5).backoff(backoff)
    }
}

fn twice() -> u32 {
    2
}

/// With the handlers of the three kinds.
#[must_use]
pub fn register(registry: Registry) -> Registry {
    registry.with(ok).with(slow).with(flaky)
}

async fn ok(job: DemoOk, context: JobContext) -> JobResult {
    if job.fail {
        return Err(JobError::permanent("the demo was asked to fail for good"));
    }
    context.note("nothing was done, and it went well");
    Ok(())
}

async fn slow(job: DemoSlow, context: JobContext) -> JobResult {
    const STEPS: u8 = 20;
    let step = Duration::from_secs(u64::from(job.seconds.min(60))) / u32::from(STEPS);
    for done in 1..=STEPS {
        if !context.sleep(step).await {
            return Err(JobError::snooze(Duration::ZERO, "the worker stops"));
        }
        context.progress(done * (100 / STEPS), format!("{done} of {STEPS} steps"));
    }
    Ok(())
}

async fn flaky(job: DemoFlaky, context: JobContext) -> JobResult {
    match context.attempt() {
        attempt if attempt <= job.fails => {
            Err(JobError::retry(format!("503 try again later (attempt {attempt})")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_flaky_one_succeeds_in_the_end_and_the_failing_one_never_tries_again() {
        let flaky_job = || DemoFlaky { fails: 2 };
        for (attempt, well) in [(1, false), (2, false), (3, true)] {
            let context = JobContext::for_test(&flaky_job()).on_attempt(attempt);
            assert_eq!(flaky(flaky_job(), context).await.is_ok(), well, "attempt {attempt}");
        }
        let failing = DemoOk { fail: true };
        let error = ok(DemoOk { fail: true }, JobContext::for_test(&failing)).await.unwrap_err();
        assert!(matches!(error.verdict(), backshift_core::Verdict::DeadLetter(_)), "{error:?}");
    }

    #[tokio::test]
    async fn the_slow_one_says_how_far_it_is() {
        let context = JobContext::for_test(&DemoSlow { seconds: 0 });
        slow(DemoSlow { seconds: 0 }, context.clone()).await.unwrap();
        let told = context.said().progress.expect("it told");
        assert_eq!(told, (100, "20 of 20 steps".to_owned()));
    }
}
