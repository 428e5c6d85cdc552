//! A process that works until it is told to stop: what `worker`, `api`, `ui` and `dev` begin and end alike.
//!
//! Signals are listened for before any server is asked, so that one that comes while it is waited for ends the process in order.

use backshift_runtime::Shutdown;

use super::{Backend, Missing, Patience, Ready, Schema, places, warn_of_open_files};
use crate::{config::Config, exit::Failure, signals::Stops};

/// What a process that works jobs says when it stops, and when it is told a second time.
pub(crate) const WORK: (&str, &str) = ("no new jobs are taken, running ones may end", "running jobs go back");

/// A process that is starting.
pub(crate) struct Running {
    stops: Stops,
    pub(crate) backend: Backend,
    /// What probes hear.
    pub(crate) ready: Ready,
    /// Quiet at the first signal, aborted at the second.
    pub(crate) shutdown: Shutdown,
}

impl Running {
    /// Builds what the configuration means and connects to nothing; `missing` says what happens when a local file is not there.
    pub(crate) fn begin(config: &Config, without_store: bool, missing: Missing) -> Result<Self, Failure> {
        let stops = Stops::listen()?;
        let backend = Backend::with(config, without_store, missing)?;
        warn_of_open_files(config, &places(config, without_store)?);
        Ok(Self { stops, backend, ready: Ready::starting("the store"), shutdown: Shutdown::new() })
    }

    /// Waits for the store as long as it takes. `false` = the process was told to stop before.
    pub(crate) async fn store_answers(&mut self, config: &Config, schema: Schema) -> Result<bool, Failure> {
        tokio::select! {
            result = self.backend.ready(config, schema, Patience::Endless) => result.map(|()| true),
            () = self.stops.next() => Ok(false),
        }
    }

    /// The start is over. From here on signals end the process; `told` = what the first and the second one mean here.
    pub(crate) fn started(self, told: (&'static str, &'static str)) -> (Backend, Shutdown) {
        let Self { mut stops, backend, ready, shutdown } = self;
        ready.started();
        let stopping = shutdown.clone();
        tokio::spawn(async move {
            stops.next().await;
            tracing::info!("stopping: {}", told.0);
            stopping.quiet();
            stops.next().await;
            tracing::warn!("stopping at once: {}", told.1);
            stopping.abort();
        });
        (backend, shutdown)
    }
}
