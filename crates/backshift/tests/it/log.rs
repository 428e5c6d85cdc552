//! What a program logs while a test runs.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use backshift::{Shift, testkit::wait};
use tracing::subscriber::DefaultGuard;

/// Keeps the log of this thread.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps it while the guard lives.
    pub fn keep() -> (Self, DefaultGuard) {
        let log = Self::default();
        let kept = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || kept.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// With what libraries write by the crate `log`.
    pub fn keep_of_all() -> (Self, DefaultGuard) {
        // The bridge comes with a subscriber of the whole process; this thread's own hears first.
        let _ = tracing_subscriber::fmt().with_writer(io::sink).try_init();
        Self::keep()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last word of a start, whatever else was said.
pub const LOOKED: &str = "was looked at for";

/// Runs a worker until the log has the text; what the log has then.
pub async fn logged(shift: Shift, until: &str) -> String {
    let (log, _guard) = Log::keep();
    let heard = wait::until(Duration::from_secs(30), || async { log.text().contains(until) });
    shift.run(async { assert!(heard.await, "{until:?} was not logged:\n{}", log.text()) }).await.unwrap();
    log.text()
}
