//! One case: a rule's name and the code that tries it.
//!
//! A case fails by returning [`Failure`], not by panicking; `?` works on the errors of both ports. A panic is
//! reported as a failure too.

use std::{fmt, future::Future, pin::Pin};

/// How a case ended when it did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The rule holds.
    Pass,
    /// The capability is not claimed, and asking for it was refused as `Unsupported`.
    Unsupported,
    /// The harness cannot bring the situation about, with the reason.
    NotTested(&'static str),
}

/// What broke the rule, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    text: String,
    overtaken: bool,
}

/// What a case returns.
pub type Verdict = Result<Outcome, Failure>;

impl Failure {
    /// A failure with this text.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), overtaken: false }
    }

    /// A failure that says nothing about the rule when the time that the case itself needed was over first: it held a
    /// lease for longer than the lease, say. Such a case is tried again with longer times before it fails.
    pub fn unless_overtaken(overtaken: bool, text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), overtaken }
    }

    /// Whether the case was too slow for its own times.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(format!("unexpected error: {error}"))
    }
}

/// A rule's case for scenes of type `S`.
pub(super) struct Case<S> {
    /// `b3_unsettled_delivery_comes_back`.
    pub(super) function: &'static str,
    /// Tries the rule.
    pub(super) run: fn(S) -> Pin<Box<dyn Future<Output = Verdict> + Send>>,
}

impl<S> Case<S> {
    /// `B3_unsettled_delivery_comes_back`: the name in tables and filters.
    pub(super) fn name(&self) -> String {
        let (first, rest) = self.function.split_at(1);
        first.to_uppercase() + rest
    }

    /// `B3`: the rule in the spec.
    pub(super) fn rule(&self) -> String {
        let name = self.name();
        name.split('_').next().unwrap_or_default().to_owned()
    }
}

/// The cases of one chapter.
macro_rules! cases {
    ($scene:ty: $($function:ident),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::case::Case<$scene>] = &[$(
            $crate::conformance::case::Case {
                function: stringify!($function),
                run: |scene| Box::pin($function(scene)),
            }
        ),+];
    };
}

/// Fails the case with a text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::case::Failure::new(format!($($text)+)));
        }
    };
}

pub(super) use {cases, ensure};
