//! A real worker that drains a queue: the arm that every broker's bench shares.
//!
//! It is over when [`Worker::run`] says so: every handler has returned and every settlement was confirmed by the
//! broker (and the ledger), so the figure counts what the servers show and not what handlers returned.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use backshift_core::{Broker, JobError, JobOptions, Kind, QueueName, Registry, Store, WorkerName};
use backshift_runtime::{Drained, Shutdown, Worker};

use crate::harness::Seen;

/// The kind of every benched job.
pub(crate) const KIND: &str = "bench";

/// What a worker drains, and with how many slots.
pub(crate) struct Drain {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) queue: QueueName,
    pub(crate) slots: usize,
}

impl Drain {
    /// Runs a worker until every expected job is done and settled.
    ///
    /// # Errors
    /// When a job was missing, done twice or not settled.
    pub(crate) async fn run(self, seen: &Arc<Seen>) -> Result<()> {
        let handled = Arc::clone(seen);
        let registry =
            Registry::default().with_raw(&Kind::new(KIND)?, JobOptions::default(), move |context| {
                let marked = handled.mark(&context.envelope().payload);
                async move { marked.map_err(|error| JobError::permanent(error.to_string())) }
            });
        let mut builder = Worker::builder().name(WorkerName::new("bench")?).registry(registry);
        if let Some(store) = self.store {
            builder = builder.store(store);
        }
        let worker = builder.broker(self.broker).pool(self.queue, self.slots).build()?;
        let shutdown = Shutdown::new();
        let running = tokio::spawn(worker.run(shutdown.clone()));
        seen.complete().await;
        shutdown.quiet();
        let drained = running.await.context("the worker panicked")??;
        ensure!(drained == Drained::default(), "the worker left {drained:?}");
        seen.check()
    }
}
