//! What was tried for each mail: the port. The rows live in another crate.
//!
//! Append-only, one entry an attempt; no subject, no body, no code.

use async_trait::async_trait;
use backshift_core::{StoreError, Timestamp};

use crate::address::EmailAddress;
use crate::outcome::Outcome;

/// One attempt to send one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendLogEntry {
    /// The job.
    pub job_id: String,
    /// 1-based attempt of the job.
    pub attempt: u32,
    /// The Message-ID with angle brackets.
    pub message_id: String,
    /// The recipient.
    pub recipient: EmailAddress,
    /// sent, retry, pause, permanent, ambiguous, or suppressed.
    pub outcome: &'static str,
    /// [`crate::Class`] of the failure in snake_case; empty when sent.
    pub class: &'static str,
    /// The server's reply code, when it said something.
    pub code: Option<u16>,
    /// What the server said, masked and capped.
    pub text: String,
    /// When it ended.
    pub at: Timestamp,
}

impl SendLogEntry {
    /// The entry for an outcome of [`crate::Mailer::send`].
    pub fn from_outcome(
        job_id: &str,
        attempt: u32,
        message: &crate::Message,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Self {
        let failure = outcome.failure();
        let text = match outcome {
            Outcome::Sent { reply, .. } => reply.clone(),
            _ => failure.map(|f| f.text.clone()).unwrap_or_default(),
        };
        Self {
            job_id: job_id.to_owned(),
            attempt,
            message_id: message.message_id().to_owned(),
            recipient: message.envelope().to.clone(),
            outcome: outcome.word(),
            class: failure.map(|f| f.class.as_str()).unwrap_or_default(),
            code: failure.and_then(|f| f.code),
            text,
            at,
        }
    }

    /// The entry for a mail that was held back because its recipient is suppressed.
    pub fn suppressed(
        job_id: &str,
        attempt: u32,
        message_id: &str,
        recipient: EmailAddress,
        at: Timestamp,
    ) -> Self {
        Self {
            job_id: job_id.to_owned(),
            attempt,
            message_id: message_id.to_owned(),
            recipient,
            outcome: "suppressed",
            class: "",
            code: None,
            text: String::new(),
            at,
        }
    }
}

/// The send log.
#[async_trait]
pub trait SendLog: Send + Sync + 'static {
    /// Appends one entry.
    async fn record(&self, entry: SendLogEntry) -> Result<(), StoreError>;

    /// The newest entries, newest first.
    async fn recent(&self, limit: usize) -> Result<Vec<SendLogEntry>, StoreError>;

    /// The entries of one job, oldest first.
    async fn of_job(&self, job_id: &str) -> Result<Vec<SendLogEntry>, StoreError>;
}
