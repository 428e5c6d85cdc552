//! How long a command waits for a server that is away (docs/contracts/system-c.md).
//!
//! Only what is unreachable is tried again; a configuration error ends the command at once.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use crate::exit::Failure;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// `api`, `worker`, `dev`: for ever, with a line in the log for each failure.
    Endless,
    /// Everything else: ten seconds.
    Short,
}

impl Patience {
    /// Tries until it works, patience ends, or trying cannot help.
    pub(crate) async fn wait<T, F>(self, what: &str, attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let until = Instant::now() + Duration::from_secs(10);
        let mut pause = FIRST;
        loop {
            match attempt().await {
                Err(failure) if failure.is_unreachable() => {
                    match self {
                        Self::Endless => {
                            let retry_in_ms = pause.as_millis() as u64;
                            tracing::error!(error = %failure, retry_in_ms, "{what} is away");
                        }
                        // It says why once, at its end.
                        Self::Short => {
                            let left = until.saturating_duration_since(Instant::now());
                            if left.is_zero() {
                                return Err(failure);
                            }
                            pause = pause.min(left);
                        }
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
                settled => return settled,
            }
        }
    }
}
