//! The signals that ask a program to stop.
//!
//! The one place of a library of ours that touches signals, and only when the program calls it. A process that once
//! listened to a signal does not end by it any more: so the second one counts too, and workers end at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// Somebody waits for signals by our means.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Ends with the first SIGINT (Ctrl-C) or SIGTERM (what `kill`, systemd, Docker and Kubernetes send). A worker that runs
/// until then drains; a second signal makes it put back what still runs, at once.
///
/// ```no_run
/// # async fn f(worker: backshift::Shift) -> Result<(), backshift::OpenError> {
/// worker.run(backshift::stop_signal()).await?;
/// # Ok(())
/// # }
/// ```
pub async fn stop_signal() {
    ASKED.store(true, Ordering::SeqCst);
    next().await;
}

/// Ends with the next signal, if the program gave its signals to us; else never.
pub(crate) async fn again() {
    match ASKED.load(Ordering::SeqCst) {
        true => next().await,
        false => std::future::pending().await,
    }
}

#[cfg(unix)]
async fn next() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "this process cannot listen to signals; they end it at once");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn next() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "this process cannot listen to Ctrl-C; it ends it at once");
        std::future::pending().await
    }
}
