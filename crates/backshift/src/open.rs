//! Why a site could not be opened.

use backshift_core::{BrokerError, InvalidName, StoreError};
use backshift_runtime::RunError;

/// What went wrong; each text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker's answer.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A queue or worker name breaks the rules.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The worker cannot run as it was put together, or ended by itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// No site can be at these URLs.
    #[error("{0}")]
    Url(String),
    /// The server's settings would lose accepted work.
    #[error("{0}")]
    Unsafe(String),
}
