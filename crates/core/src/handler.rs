//! Code that does one kind of job. Any `async fn(MyJob, JobContext) -> JobResult` is a handler.

use std::future::Future;

use crate::{Job, JobContext, JobResult};

/// Does one kind of job. Owns what it needs and holds no state between jobs; it may run twice for one job.
pub trait Handler<J: Job>: Send + Sync + 'static {
    /// Runs one attempt. `Ok(())` completes the job, `?` retries it, [`crate::JobError`] says everything else.
    fn handle(&self, job: J, context: JobContext) -> impl Future<Output = JobResult> + Send;
}

impl<J, F, R> Handler<J> for F
where
    J: Job,
    F: Fn(J, JobContext) -> R + Send + Sync + 'static,
    R: Future<Output = JobResult> + Send,
{
    fn handle(&self, job: J, context: JobContext) -> impl Future<Output = JobResult> + Send {
        self(job, context)
    }
}
