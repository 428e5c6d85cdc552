//! What a probe does before it succeeds.
//!
//! `crash` and `snooze` count *starts*, because neither is an attempt; the others count attempts.

use std::time::Duration;

use backshift_core::{Job, JobContext, JobError, JobResult};
use serde::{Deserialize, Serialize};

/// The payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Names the job's effect for whoever looks.
    #[serde(default)]
    pub key: String,
    /// What to do.
    #[serde(default)]
    pub mode: Mode,
    /// For how long, in milliseconds.
    #[serde(default)]
    pub ms: u64,
    /// How often to fail before it succeeds.
    #[serde(default)]
    pub fails: u32,
}

impl Job for Probe {
    const KIND: &'static str = super::KIND;
}

/// What a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Succeeds.
    #[default]
    Ok,
    /// Sleeps and stops when cancelled.
    Sleep,
    /// Blocks a thread and does not stop.
    Block,
    /// Fails with an error that may be retried.
    Fail,
    /// Panics.
    Panic,
    /// Fails for good.
    Permanent,
    /// Comes back later, uncounted.
    Snooze,
    /// Ends the whole process.
    Crash,
}

impl Probe {
    /// Does what the mode says; `Ok` = now the effect.
    pub(super) async fn work(&self, context: &JobContext) -> JobResult {
        let time = Duration::from_millis(self.ms);
        let fails_attempt = context.attempt() <= self.fails;
        let fails_start = context.starts() <= self.fails;
        match self.mode {
            Mode::Ok => Ok(()),
            Mode::Sleep if context.sleep(time).await => Ok(()),
            Mode::Sleep => Err(JobError::snooze(Duration::ZERO, "told to stop")),
            Mode::Block => Ok(tokio::task::spawn_blocking(move || std::thread::sleep(time)).await?),
            Mode::Fail if fails_attempt => {
                Err(JobError::retry(format!("probe fails as told, attempt {}", context.attempt())))
            }
            Mode::Panic if fails_attempt => panic!("probe panics as told, attempt {}", context.attempt()),
            Mode::Permanent => Err(JobError::permanent("probe fails for good as told")),
            Mode::Snooze if fails_start => Err(JobError::snooze(time, "probe snoozes as told")),
            Mode::Crash if fails_start => std::process::abort(),
            Mode::Fail | Mode::Panic | Mode::Snooze | Mode::Crash => Ok(()),
        }
    }
}
