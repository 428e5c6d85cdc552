//! What became of one send: the five outcomes of docs/contracts/system-c.md, "Mail outcome", and why.
//!
//! A caller acts on the variant alone; `Failure` is for people, logs and the send log (addresses masked).

use std::fmt;
use std::time::Duration;

use crate::address::EmailAddress;

/// What the job does now.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The server has taken the mail (250 after the final dot): done, ack.
    Sent {
        /// The server's last words, masked; often its queue id.
        reply: String,
        /// Copies that the server refused: the job completes with a warning and these are recorded.
        refused_cc: Vec<RefusedCopy>,
    },
    /// Nothing was sent; the same may work later. Counts as an attempt.
    Retry {
        /// The server's own wish ("try again in 5 minutes", an hour for a full mailbox); the caller's back-off
        /// when absent. Cap it with your longest delay.
        after: Option<Duration>,
        /// The server asked for less (421, rate limits): the pool has already slowed itself.
        throttled: bool,
        /// Why.
        failure: Failure,
    },
    /// The transport itself is unusable (credentials, TLS, our sender address): pause all jobs, burn no attempt,
    /// and let [`crate::Mailer::probe`] end the pause.
    Pause {
        /// Why.
        failure: Failure,
    },
    /// A retry cannot help: dead letter.
    Permanent {
        /// The recipient's address is dead: suppress it.
        suppress: bool,
        /// Why.
        failure: Failure,
    },
    /// The connection ended after the final dot and before the answer: nobody knows whether it was sent.
    Ambiguous {
        /// What was seen.
        failure: Failure,
    },
}

impl Outcome {
    /// The failure, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Sent { .. } => None,
            Self::Retry { failure, .. }
            | Self::Pause { failure }
            | Self::Permanent { failure, .. }
            | Self::Ambiguous { failure } => Some(failure),
        }
    }

    /// Whether the server has taken the mail.
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::Sent { .. })
    }

    /// One word for logs and the send log: sent, retry, pause, permanent, ambiguous.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Retry { .. } => "retry",
            Self::Pause { .. } => "pause",
            Self::Permanent { .. } => "permanent",
            Self::Ambiguous { .. } => "ambiguous",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.failure() {
            None => f.write_str("sent"),
            Some(failure) => write!(f, "{}: {failure}", self.word()),
        }
    }
}

/// A copy that the server did not take.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedCopy {
    /// Whose.
    pub address: EmailAddress,
    /// The address is dead: suppress it.
    pub suppress: bool,
    /// Why.
    pub failure: Failure,
}

/// Where in the conversation it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Name lookup, TCP, greeting, EHLO.
    Connect,
    /// STARTTLS or the handshake.
    Tls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA and the body, before the final dot.
    Data,
    /// After the final dot.
    Final,
}

impl Stage {
    /// The stage's name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Final => "final",
        }
    }
}

/// The reason in one word; finer than the outcome, stable for metrics and grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Busy, local trouble, greylisting: passes by itself.
    Transient,
    /// Too fast or too many connections.
    Throttled,
    /// The mailbox is full.
    Quota,
    /// Too many recipients in one mail.
    TooManyRecipients,
    /// No such mailbox, moved, or inactive.
    InvalidRecipient,
    /// The domain takes no mail.
    BadDomain,
    /// Policy, spam, reputation, relaying: about us, not about the recipient.
    Policy,
    /// Credentials, permissions: the transport's configuration.
    Config,
    /// TLS missing, refused or not verified.
    Tls,
    /// The server refuses our sender address.
    Sender,
    /// This mail: too big, bad content, bad syntax.
    Message,
    /// Connection refused, reset, name not found.
    Network,
    /// The server fell silent.
    Timeout,
    /// The server does not speak SMTP as we know it.
    Protocol,
    /// A disk of ours (dev mailbox).
    Storage,
}

impl Class {
    /// The class in snake_case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Quota => "quota",
            Self::TooManyRecipients => "too_many_recipients",
            Self::InvalidRecipient => "invalid_recipient",
            Self::BadDomain => "bad_domain",
            Self::Policy => "policy",
            Self::Config => "config",
            Self::Tls => "tls",
            Self::Sender => "sender",
            Self::Message => "message",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Storage => "storage",
        }
    }

    /// Who has to act.
    pub fn fault(self) -> Fault {
        match self {
            Self::Quota | Self::InvalidRecipient | Self::BadDomain => Fault::Recipient,
            Self::Policy
            | Self::Config
            | Self::Sender
            | Self::Message
            | Self::TooManyRecipients
            | Self::Storage => Fault::Ours,
            Self::Transient | Self::Throttled | Self::Tls | Self::Protocol => Fault::Server,
            Self::Network | Self::Timeout => Fault::Network,
        }
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The recipient's mailbox or domain.
    Recipient,
    /// Our mail, sender, reputation or configuration.
    Ours,
    /// The server that we talk to.
    Server,
    /// The way between.
    Network,
}

impl Fault {
    /// The word in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Ours => "ours",
            Self::Server => "server",
            Self::Network => "network",
        }
    }
}

/// An RFC 3463 status such as 5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2, 4 or 5.
    pub class: u8,
    /// What it is about: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// The detail.
    pub detail: u16,
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// What was seen, fit for logs: one line, capped, addresses masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// What kind.
    pub class: Class,
    /// The reply code, when the server said something.
    pub code: Option<u16>,
    /// The enhanced code, when it was there.
    pub enhanced: Option<EnhancedCode>,
    /// The server's or the system's words.
    pub text: String,
}

impl Failure {
    /// A failure without a reply.
    pub fn new(stage: Stage, class: Class, text: impl AsRef<str>) -> Self {
        Self { stage, class, code: None, enhanced: None, text: crate::masking::mask_text(text.as_ref()) }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.class.fault()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.class.as_str(), self.stage.as_str())?;
        match (self.code, self.enhanced) {
            (Some(code), Some(enhanced)) => write!(f, " ({code} {enhanced})")?,
            (Some(code), None) => write!(f, " ({code})")?,
            (None, _) => {}
        }
        write!(f, ": {}", self.text)
    }
}

/// One recipient's part of a send.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipientResult {
    /// Who.
    pub address: EmailAddress,
    /// `None` when the server accepted the recipient.
    pub refused: Option<Failure>,
}

/// The whole result of [`crate::Mailer::send`].
#[derive(Debug, Clone, PartialEq)]
pub struct SendReport {
    /// What to do now.
    pub outcome: Outcome,
    /// Every recipient that RCPT was answered for, To first; empty when it did not come to that.
    pub recipients: Vec<RecipientResult>,
}

impl From<Outcome> for SendReport {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, recipients: Vec::new() }
    }
}
