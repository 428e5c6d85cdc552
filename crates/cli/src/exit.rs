//! How a command ends: the exit codes of docs/contracts/system-c.md, each with a text that says what to do.

use std::{fmt, process::ExitCode};

use backshift_core::{BrokerError, EnqueueError, StoreError, way::handshake_remedy};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
    /// Whose answer it is, until [`Failure::placed`] has named the setting that led there.
    pub(crate) server: Option<Server>,
    /// Standard output said it already; this is left to say where both streams lead to one place.
    rest: Option<String>,
}

/// A server of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// The database of the store.
    Store,
    /// The server of the broker of this name; that of an SQL broker is the store's.
    Of(&'static str),
}

impl Failure {
    fn new(code: u8, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string(), server: None, rest: None }
    }

    /// 1: the operation failed.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::new(1, text)
    }

    /// 2: the command was used wrongly.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self::new(2, text)
    }

    /// 69: a server cannot be reached.
    pub(crate) fn unreachable(text: impl fmt::Display) -> Self {
        Self::new(69, text)
    }

    /// 75: try again.
    pub(crate) fn again(text: impl fmt::Display) -> Self {
        Self::new(75, text)
    }

    /// 78: the configuration is wrong.
    pub(crate) fn configuration(text: impl fmt::Display) -> Self {
        Self::new(78, text)
    }

    /// The same, said on standard output already: where both streams are one, only `rest` is left to say.
    pub(crate) fn already_said(mut self, rest: impl Into<String>) -> Self {
        self.rest = Some(rest.into());
        self
    }

    /// What standard error says; `together` = standard output leads to the same place.
    pub(crate) fn last_words(&self, together: bool) -> &str {
        match &self.rest {
            Some(rest) if together => rest,
            _ => &self.text,
        }
    }

    /// The same with another text.
    pub(crate) fn reworded(self, text: impl FnOnce(&str) -> String) -> Self {
        Self { text: text(&self.text), ..self }
    }

    fn by(self, server: Server) -> Self {
        Self { server: Some(server), ..self }
    }

    /// Whether the same call may succeed when a server is back.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.code == 69
    }

    /// Whether the command was used wrongly.
    pub(crate) fn is_misuse(&self) -> bool {
        self.code == 2
    }

    /// Orders findings: a wrong configuration is worse than a server that is away.
    pub(crate) fn gravity(&self) -> u8 {
        self.code
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::unreachable(error).by(Server::Store),
            StoreError::Schema(_) | StoreError::Unusable(_) => Self::configuration(error).by(Server::Store),
            StoreError::NotFound(_)
            | StoreError::Stale
            | StoreError::Rejected(_)
            | StoreError::Taken { .. } => Self::failed(error),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        let server = match &error {
            BrokerError::Unavailable { broker, .. }
            | BrokerError::Unknown { broker, .. }
            | BrokerError::Rejected { broker, .. }
            | BrokerError::Unusable { broker, .. }
            | BrokerError::Unsupported { broker, .. } => Server::Of(broker),
            BrokerError::Closed => Server::Store,
        };
        let failure = match &error {
            // A certificate, or no TLS on that port: whoever starts the command anew hears the same.
            e if handshake_remedy(&e.to_string(), "").is_some() => Self::configuration(error),
            e if e.is_transient() => Self::unreachable(error),
            // It will refuse again, whoever starts the command anew.
            BrokerError::Rejected { .. } | BrokerError::Unsupported { .. } | BrokerError::Unusable { .. } => {
                Self::configuration(error)
            }
            _ => Self::failed(error),
        };
        failure.by(server)
    }
}

impl From<EnqueueError> for Failure {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Broker(error) => error.into(),
            EnqueueError::Store(error) => error.into(),
            EnqueueError::Name(error) => Self::usage(error),
            EnqueueError::Invalid(text) => Self::usage(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_must_mend_is_78_by_what_it_is_and_not_by_its_words() {
        let code = |error: BrokerError| Failure::from(EnqueueError::Broker(error)).code;
        for refused in [StoreError::Unusable("it must not".into()), StoreError::Schema("another one".into())]
        {
            assert_eq!(code(BrokerError::of_store("postgres", refused)), 78);
        }
        let away = StoreError::Unavailable("the text of a job says PostgreSQL says 42501".into());
        assert_eq!(code(BrokerError::of_store("postgres", away)), 69);
    }
}
