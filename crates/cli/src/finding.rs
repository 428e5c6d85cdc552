//! What `doctor` finds of one part: how it is, and what to do about it.

use std::time::Duration;

use backshift_core::way::Way;

use crate::exit::Failure;

/// The longest time that one server gets.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One finding.
pub(crate) struct Finding {
    pub(crate) part: &'static str,
    pub(crate) what: String,
    pub(crate) problem: Option<Failure>,
    /// The ways to the servers of this part.
    pub(crate) ways: Vec<Way>,
}

impl Finding {
    pub(crate) fn new(part: &'static str, what: impl Into<String>, problem: Option<Failure>) -> Self {
        Self { part, what: what.into(), problem, ways: Vec::new() }
    }
}
