//! The wish to stop, in two steps: quiet (finish what runs, within the grace), then abort (at once).
//!
//! Signals are read by the command line and by `backshift::stop_signal` only; whoever reads them calls [`Shutdown::quiet`] on the first and
//! [`Shutdown::abort`] on the second.

use tokio_util::sync::CancellationToken;

/// Tells a worker to stop. Cheap to clone; clones are the same wish.
///
/// ```
/// # use backshift_runtime as backshift;
/// use backshift::{Drained, RunError, Shutdown, Worker};
///
/// /// Works until `enough` ends, then drains.
/// async fn until(worker: Worker, enough: impl Future<Output = ()>) -> Result<Drained, RunError> {
///     let shutdown = Shutdown::new();
///     let stopping = async {
///         enough.await;
///         shutdown.quiet(); // running jobs may end within the grace; `abort` would not let them
///     };
///     let (drained, ()) = tokio::join!(worker.run(shutdown.clone()), stopping);
///     drained
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    quiet: CancellationToken,
    abort: CancellationToken,
}

impl Shutdown {
    /// Nobody wishes to stop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the taking of jobs; what runs may end within the grace. Idempotent.
    pub fn quiet(&self) {
        self.quiet.cancel();
    }

    /// Stops everything at once; unfinished jobs go back uncounted. Idempotent.
    pub fn abort(&self) {
        self.quiet.cancel();
        self.abort.cancel();
    }

    /// Whether the worker takes no more jobs.
    pub fn is_quiet(&self) -> bool {
        self.quiet.is_cancelled()
    }

    /// Waits for [`Self::quiet`] or [`Self::abort`].
    pub async fn quieted(&self) {
        self.quiet.cancelled().await;
    }

    /// Waits for [`Self::abort`].
    pub async fn aborted(&self) {
        self.abort.cancelled().await;
    }
}
