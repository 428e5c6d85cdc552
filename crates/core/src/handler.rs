//! Code that does one kind of job. Any `async fn(MyJob, JobContext) -> JobResult` is a handler.

use std::future::Future;

use crate::{Job, JobContext, JobResult};

/// Does one kind of job. Owns what it needs and holds no state between jobs; it may run twice for one job.
///
/// ```
/// # use backshift_core as backshift;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Invoice { order: u64 }
/// # impl Job for Invoice { const KIND: &'static str = "invoice.send"; }
/// use backshift::{Handler, Job, JobContext, JobResult};
///
/// struct Biller {
///     sender: String,
/// }
///
/// impl Handler<Invoice> for Biller {
///     async fn handle(&self, job: Invoice, context: JobContext) -> JobResult {
///         // Pass the job's id on: the other side recognises a repeat by it.
///         println!("order {} from {} as request {}", job.order, self.sender, context.id());
///         Ok(())
///     }
/// }
///
/// /// What needs nothing is a function.
/// async fn bill(job: Invoice, _: JobContext) -> JobResult {
///     println!("order {}", job.order);
///     Ok(())
/// }
/// ```
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
