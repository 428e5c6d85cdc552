//! How a command ends: the exit codes of docs/contracts/system-c.md, each with a text that says what to do.

use std::{fmt, process::ExitCode};

use backshift_core::{BrokerError, EnqueueError, StoreError};

use crate::config::Problems;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// 1: the operation failed.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// 2: the command was used wrongly.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { code: 2, text: text.to_string() }
    }

    /// 69: a server cannot be reached.
    pub(crate) fn unreachable(text: impl fmt::Display) -> Self {
        Self { code: 69, text: text.to_string() }
    }

    /// 75: try again.
    pub(crate) fn again(text: impl fmt::Display) -> Self {
        Self { code: 75, text: text.to_string() }
    }

    /// 78: the configuration is wrong.
    pub(crate) fn configuration(text: impl fmt::Display) -> Self {
        Self { code: 78, text: text.to_string() }
    }

    /// Whether the same call may succeed when a server is back.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.code == 69
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

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::configuration(problems)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::unreachable(error),
            StoreError::Schema(_) | StoreError::Unusable(_) => Self::configuration(error),
            StoreError::NotFound(_) | StoreError::Stale | StoreError::Rejected(_) => Self::failed(error),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match &error {
            e if e.is_transient() => Self::unreachable(error),
            _ => Self::failed(error),
        }
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
