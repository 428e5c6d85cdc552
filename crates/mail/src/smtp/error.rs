//! What can go wrong inside one SMTP conversation, before it becomes an outcome.
//!
//! `before_mail` in the connection tells whether a reused connection may be replaced; the error itself does not know.

use std::io;
use std::time::Duration;

use backshift_core::way::handshake_remedy;

use super::reply::Reply;
use crate::classify::classify;
use crate::outcome::{Class, Failure, Outcome, Stage};

/// One failure on the wire.
#[derive(Debug)]
pub(super) enum WireError {
    /// The server refused with a reply.
    Refused(Reply),
    /// Closed, reset, unreachable.
    Io(io::Error),
    /// Nothing came in time.
    Silent(Duration),
    /// Something came that is not SMTP.
    Nonsense(&'static str),
    /// TLS missing, refused or not verified.
    Tls(String),
    /// Our own configuration cannot work with this server.
    Config(String),
    /// This message cannot go through this server.
    Message(String),
}

impl WireError {
    /// A handshake that failed, with what to do about it.
    pub(super) fn handshake(error: &io::Error) -> Self {
        let problem = error.to_string();
        let remedy = handshake_remedy(&problem, "smtp.ca_file (BACKSHIFT_SMTP_CA_FILE)");
        let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        Self::Tls(format!("TLS handshake failed: {problem}{remedy}"))
    }

    /// The outcome for a failure at `stage`.
    pub(super) fn into_outcome(self, stage: Stage) -> Outcome {
        let (class, text) = match self {
            Self::Refused(reply) => return classify(stage, &reply),
            Self::Io(error) => (Class::Network, error.to_string()),
            Self::Silent(limit) => (Class::Timeout, format!("the server was silent for {limit:?}")),
            Self::Nonsense(what) => (Class::Protocol, what.to_owned()),
            Self::Tls(text) => (Class::Tls, text),
            Self::Config(text) => (Class::Config, text),
            Self::Message(text) => (Class::Message, text),
        };
        let failure = Failure::new(stage, class, text);
        match class {
            _ if stage == Stage::Final => Outcome::Ambiguous { failure },
            Class::Tls | Class::Config => Outcome::Pause { failure },
            Class::Message => Outcome::Permanent { suppress: false, failure },
            _ => Outcome::Retry { after: None, throttled: false, failure },
        }
    }

    /// Whether the connection itself is gone or unusable, as opposed to a refusal on a sound one.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Refused(reply) => reply.code == 421,
            Self::Config(_) | Self::Message(_) => false,
            _ => true,
        }
    }

    /// What a pooled connection shows that the server closed while it was idle.
    pub(super) fn is_stale_connection(&self) -> bool {
        match self {
            Self::Io(_) => true,
            Self::Refused(reply) => reply.code == 421,
            _ => false,
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
