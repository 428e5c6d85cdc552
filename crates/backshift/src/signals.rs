//! The signals that ask a program to stop.
//!
//! The one place of a library of ours that touches signals, and only when the program calls it. A process that once
//! listened to a signal does not end by it any more: so the second one counts too, and workers end at once.
//!
//! It listens from the call on and not from the first poll: a signal that comes while the worker starts would end the
//! process with its jobs under way.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Somebody waits for signals by our means.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Ends with the first SIGINT (Ctrl-C) or SIGTERM (what `kill`, systemd, Docker and Kubernetes send). A worker that runs
/// until then drains; a second signal makes it put back what still runs, at once. It counts from the call on, also while the
/// worker still starts; a call outside of a runtime begins to listen when it is first waited for.
///
/// ```no_run
/// # async fn f(worker: backshift::Shift) -> Result<(), backshift::OpenError> {
/// worker.run(backshift::stop_signal()).await?;
/// # Ok(())
/// # }
/// ```
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    ASKED.store(true, Ordering::SeqCst);
    let listening = tokio::runtime::Handle::try_current().ok().map(|_| Listener::new());
    async move {
        let listener = listening.unwrap_or_else(Listener::new);
        listener.next().await;
    }
}

/// Ends with the next signal, if the program gave its signals to us; else never.
pub(crate) async fn again() {
    match ASKED.load(Ordering::SeqCst) {
        true => Listener::new().next().await,
        false => std::future::pending().await,
    }
}

/// Hears the signals that come after it was made.
struct Listener(std::io::Result<[Signal; 2]>);

impl Listener {
    fn new() -> Self {
        let both = || Ok([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]);
        Self(both())
    }

    async fn next(self) {
        match self.0 {
            Ok([mut interrupt, mut terminate]) => {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            }
            Err(error) => {
                tracing::error!(%error, "this process cannot listen to signals; they end it at once");
                std::future::pending().await
            }
        }
    }
}
