//! The numbers of mail work, as plain fields; the defaults are docs/contracts/system-c.md's.

use std::time::Duration;

use backshift_core::{Backoff, JobOptions};

/// How mail is worked.
#[derive(Debug, Clone)]
pub struct MailOptions {
    /// Attempts before a mail is dead (`BACKSHIFT_MAIL_MAX_ATTEMPTS`).
    pub max_attempts: u32,
    /// The first delay between attempts (`BACKSHIFT_MAIL_RETRY_BASE`).
    pub retry_base: Duration,
    /// The longest delay between attempts (`BACKSHIFT_MAIL_RETRY_CAP`).
    pub retry_cap: Duration,
    /// The hard limit of one attempt: above what the mail server may take for its last answer (10 minutes).
    pub attempt_limit: Duration,
    /// The first pause of an unusable transport (`BACKSHIFT_MAIL_PAUSE`); doubles with each failed probe.
    pub pause: Duration,
    /// The longest pause.
    pub pause_cap: Duration,
    /// What to do about an ambiguous mail that says nothing about its class.
    pub unknown: AmbiguousPolicy,
    /// Whether subjects may be logged (`BACKSHIFT_LOG_SUBJECTS`).
    pub log_subjects: bool,
}

/// What to do when nobody can know whether a mail was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousPolicy {
    /// Send it once more, with the same Message-ID.
    Resend,
    /// Keep it for a person.
    Hold,
}

impl Default for MailOptions {
    fn default() -> Self {
        Self {
            max_attempts: 12,
            retry_base: Duration::from_secs(5),
            retry_cap: Duration::from_secs(3600),
            attempt_limit: Duration::from_secs(900),
            pause: Duration::from_secs(30),
            pause_cap: Duration::from_secs(600),
            unknown: AmbiguousPolicy::Resend,
            log_subjects: false,
        }
    }
}

impl MailOptions {
    /// The numbers for the engine.
    pub fn job_options(&self) -> JobOptions {
        JobOptions {
            max_attempts: Some(self.max_attempts),
            timeout: Some(self.attempt_limit),
            backoff: Some(Backoff { base: self.retry_base, cap: self.retry_cap }),
            ..JobOptions::default()
        }
    }
}
