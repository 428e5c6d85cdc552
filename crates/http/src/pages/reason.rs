//! One sentence of why a job is as it is: what the explanation and who stopped it share. Its words stand where they are made.

use backshift_core::Timestamp;

use super::need::Remedy;

/// One sentence, without its full stop.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reason {
    /// What is the case.
    pub(super) text: String,
    /// The time that it speaks of.
    pub(super) due: Option<Timestamp>,
    /// The words of the other side.
    pub(super) said: Option<String>,
    /// Where that can be seen.
    pub(super) evidence: Option<String>,
    /// What changes it.
    pub(super) remedy: Option<Remedy>,
    /// It stays so until somebody does something.
    pub(super) stays: bool,
}
