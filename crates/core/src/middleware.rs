//! Code around an attempt and code around an enqueue: one async method each, calling `next.run(…)`.
//!
//! The first middleware that was added is the outermost one. What is written is the trait with a plain `async fn`; what a
//! chain holds is its twin with boxed futures ([`DynMiddleware`], [`DynEnqueueMiddleware`]), which every middleware is by
//! itself and nobody implements.

use std::{any::Any, future::Future, pin::Pin, sync::Arc};

use crate::{Accepted, Envelope, JobContext, JobResult, client::EnqueueError};

/// A future in a box: one allocation beside a round trip.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Wraps every attempt.
///
/// ```
/// # use backshift_core as backshift;
/// use std::time::Instant;
/// use backshift::{JobContext, JobResult, Middleware, Next};
///
/// /// Says how long every attempt took.
/// struct Timed;
///
/// impl Middleware for Timed {
///     async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
///         let (kind, begin) = (context.kind().clone(), Instant::now());
///         let result = next.run(context).await;
///         println!("{kind} took {:?}", begin.elapsed());
///         result
///     }
/// }
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Runs before, around or instead of the rest of the chain.
    fn around(&self, context: JobContext, next: Next<'_>) -> impl Future<Output = JobResult> + Send;
}

/// [`Middleware`] as a chain holds it. Every middleware is one; implement [`Middleware`].
pub trait DynMiddleware: Any + Send + Sync {
    /// As [`Middleware::around`].
    fn around_boxed<'a>(&'a self, context: JobContext, next: Next<'a>) -> Boxed<'a, JobResult>;
}

impl<M: Middleware> DynMiddleware for M {
    fn around_boxed<'a>(&'a self, context: JobContext, next: Next<'a>) -> Boxed<'a, JobResult> {
        Box::pin(self.around(context, next))
    }
}

impl<M: DynMiddleware + ?Sized> Middleware for Arc<M> {
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult {
        self.as_ref().around_boxed(context, next).await
    }
}

/// The innermost part of a chain: the handler itself.
pub type Innermost<'a> =
    &'a (dyn Fn(JobContext) -> Pin<Box<dyn Future<Output = JobResult> + Send>> + Send + Sync);

/// The rest of the chain around an attempt.
pub struct Next<'a> {
    chain: &'a [Arc<dyn DynMiddleware>],
    handler: Innermost<'a>,
}

impl<'a> Next<'a> {
    /// The whole chain.
    pub fn new(chain: &'a [Arc<dyn DynMiddleware>], handler: Innermost<'a>) -> Self {
        Self { chain, handler }
    }

    /// Runs the rest of the chain.
    pub async fn run(self, context: JobContext) -> JobResult {
        match self.chain.split_first() {
            Some((first, chain)) => first.around_boxed(context, Next { chain, handler: self.handler }).await,
            None => (self.handler)(context).await,
        }
    }
}

/// Wraps every enqueue, also one inside a transaction of yours.
///
/// ```
/// # use backshift_core as backshift;
/// use backshift::{Accepted, EnqueueError, EnqueueMiddleware, Envelope, NextEnqueue};
///
/// /// Says on every job which service made it.
/// struct Origin(&'static str);
///
/// impl EnqueueMiddleware for Origin {
///     async fn around(&self, mut job: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
///         job.headers.insert("origin".into(), self.0.into());
///         next.run(job).await
///     }
/// }
/// ```
pub trait EnqueueMiddleware: Send + Sync + 'static {
    /// Runs before, around or instead of the rest of the chain.
    fn around(
        &self,
        envelope: Envelope,
        next: NextEnqueue<'_>,
    ) -> impl Future<Output = Result<Accepted, EnqueueError>> + Send;
}

/// [`EnqueueMiddleware`] as a chain holds it. Every such middleware is one; implement [`EnqueueMiddleware`].
pub trait DynEnqueueMiddleware: Send + Sync + 'static {
    /// As [`EnqueueMiddleware::around`].
    fn around_boxed<'a>(
        &'a self,
        envelope: Envelope,
        next: NextEnqueue<'a>,
    ) -> Boxed<'a, Result<Accepted, EnqueueError>>;
}

impl<M: EnqueueMiddleware> DynEnqueueMiddleware for M {
    fn around_boxed<'a>(
        &'a self,
        envelope: Envelope,
        next: NextEnqueue<'a>,
    ) -> Boxed<'a, Result<Accepted, EnqueueError>> {
        Box::pin(self.around(envelope, next))
    }
}

impl<M: DynEnqueueMiddleware + ?Sized> EnqueueMiddleware for Arc<M> {
    async fn around(&self, envelope: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError> {
        self.as_ref().around_boxed(envelope, next).await
    }
}

/// Where an enqueue chain ends: the hand-over to the broker, to the store or to a transaction.
pub trait Taker: Send + Sync {
    /// Takes the job over.
    fn take(&self, envelope: Envelope) -> Boxed<'_, Result<Accepted, EnqueueError>>;
}

/// The rest of the chain around an enqueue.
pub struct NextEnqueue<'a> {
    chain: &'a [Arc<dyn DynEnqueueMiddleware>],
    taker: &'a dyn Taker,
}

impl<'a> NextEnqueue<'a> {
    /// The whole chain.
    pub fn new(chain: &'a [Arc<dyn DynEnqueueMiddleware>], taker: &'a dyn Taker) -> Self {
        Self { chain, taker }
    }

    /// Runs the rest of the chain.
    pub async fn run(self, envelope: Envelope) -> Result<Accepted, EnqueueError> {
        match self.chain.split_first() {
            Some((first, chain)) => {
                first.around_boxed(envelope, NextEnqueue { chain, taker: self.taker }).await
            }
            None => self.taker.take(envelope).await,
        }
    }
}
