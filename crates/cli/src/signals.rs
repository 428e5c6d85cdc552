//! SIGTERM and SIGINT: the first one drains, the second one aborts. A pipe or connection that broke is an answer to whoever
//! wrote into it, and never an end: a program that could not begin itself again (see `memory`) has lost that rule.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// Both signals that ask for an end, as one stream.
pub(crate) struct Stops {
    terminate: Signal,
    interrupt: Signal,
    _broken_pipe: Signal,
}

impl Stops {
    /// Begins to listen; from here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be handled: {error}")))
        };
        let (terminate, interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, _broken_pipe: on(SignalKind::pipe())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
