//! Code around an attempt and code around an enqueue: one async method each, calling `next.run(…)`.
//!
//! The first middleware that was added is the outermost one.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;

use crate::{Accepted, Envelope, JobContext, JobResult, client::EnqueueError};

/// Wraps every attempt.
#[async_trait]
pub trait Middleware: Send + Sync + 'static {
    /// Runs before, around or instead of the rest of the chain.
    async fn around(&self, context: JobContext, next: Next<'_>) -> JobResult;
}

/// The innermost part of a chain: the handler itself.
pub type Innermost<'a> =
    &'a (dyn Fn(JobContext) -> Pin<Box<dyn Future<Output = JobResult> + Send>> + Send + Sync);

/// The rest of the chain around an attempt.
pub struct Next<'a> {
    chain: &'a [Arc<dyn Middleware>],
    handler: Innermost<'a>,
}

impl<'a> Next<'a> {
    /// The whole chain.
    pub fn new(chain: &'a [Arc<dyn Middleware>], handler: Innermost<'a>) -> Self {
        Self { chain, handler }
    }

    /// Runs the rest of the chain.
    pub async fn run(self, context: JobContext) -> JobResult {
        match self.chain.split_first() {
            Some((first, chain)) => first.around(context, Next { chain, handler: self.handler }).await,
            None => (self.handler)(context).await,
        }
    }
}

/// Wraps every enqueue.
#[async_trait]
pub trait EnqueueMiddleware: Send + Sync + 'static {
    /// Runs before, around or instead of the rest of the chain.
    async fn around(&self, envelope: Envelope, next: NextEnqueue<'_>) -> Result<Accepted, EnqueueError>;
}

/// The innermost part of an enqueue chain: the hand-over to the broker or the store.
pub type InnermostEnqueue<'a> = &'a (
        dyn Fn(Envelope) -> Pin<Box<dyn Future<Output = Result<Accepted, EnqueueError>> + Send + 'a>>
            + Send
            + Sync
    );

/// The rest of the chain around an enqueue.
pub struct NextEnqueue<'a> {
    chain: &'a [Arc<dyn EnqueueMiddleware>],
    innermost: InnermostEnqueue<'a>,
}

impl<'a> NextEnqueue<'a> {
    /// The whole chain.
    pub fn new(chain: &'a [Arc<dyn EnqueueMiddleware>], innermost: InnermostEnqueue<'a>) -> Self {
        Self { chain, innermost }
    }

    /// Runs the rest of the chain.
    pub async fn run(self, envelope: Envelope) -> Result<Accepted, EnqueueError> {
        match self.chain.split_first() {
            Some((first, chain)) => {
                first.around(envelope, NextEnqueue { chain, innermost: self.innermost }).await
            }
            None => (self.innermost)(envelope).await,
        }
    }
}
