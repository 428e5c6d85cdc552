//! An error as it is stored and shown, and what groups errors of one cause.
//!
//! A fingerprint leaves out what varies (numbers, ids, quoted values) but for a word of three digits, which is a server's reply code.

use std::{borrow::Cow, fmt};

/// The longest error text that is kept, in bytes; the rest is cut with an end mark.
pub const MAX_ERROR_BYTES: usize = 4096;

/// What kind of end an attempt came to, for counting and for grouping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// An error that the handler returned.
    Error,
    /// The handler panicked.
    Panic,
    /// The hard time-out ran out.
    Timeout,
    /// The lease ended without a result: killed, frozen or cut off.
    Crash,
    /// Sent back uncounted: snooze, shutdown, open breaker, unknown kind.
    Released,
}

impl ErrorClass {
    /// The stable name in the database and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
            Self::Released => "released",
        }
    }
}

/// An error as it is stored and shown: bounded text, class, and a fingerprint that groups equal causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    /// How the attempt ended.
    pub class: ErrorClass,
    /// The text, at most [`MAX_ERROR_BYTES`].
    pub message: String,
}

impl ErrorReport {
    /// Cuts the text to [`MAX_ERROR_BYTES`] and removes NUL, which PostgreSQL cannot store.
    pub fn new(class: ErrorClass, message: impl fmt::Display) -> Self {
        let mut message = message.to_string().replace('\0', "\u{FFFD}");
        if message.len() > MAX_ERROR_BYTES {
            let end = (0..=MAX_ERROR_BYTES - 4).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
            message.truncate(end);
            message.push_str(" […");
        }
        Self { class, message }
    }

    /// Equal for errors that differ only in numbers, ids and quoted values.
    pub fn fingerprint(&self) -> String {
        let mut shape = String::with_capacity(self.message.len().min(200));
        for word in self.message.split_whitespace() {
            if shape.len() > 200 {
                break;
            }
            let varies = word.chars().any(|c| c.is_ascii_digit() || "\"'`@".contains(c));
            let known = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
            shape.push_str(if varies && !known { "*" } else { word });
            shape.push(' ');
        }
        let text: Cow<'_, str> = shape.trim_end().into();
        format!("{}: {text}", self.class.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_bounded_and_storable() {
        let report = ErrorReport::new(ErrorClass::Error, format!("a\0b{}", "ü".repeat(5000)));
        assert!(report.message.len() <= MAX_ERROR_BYTES + 4 && report.message.ends_with('…'));
        assert!(!report.message.contains('\0'));
    }

    #[test]
    fn fingerprints_ignore_what_varies_and_keep_reply_codes() {
        let one = ErrorReport::new(ErrorClass::Error, "550 5.1.1 <ab@x.io> unknown after 17 ms");
        let two = ErrorReport::new(ErrorClass::Error, "550 5.1.1 <cd@y.io> unknown after 18 ms");
        let other = ErrorReport::new(ErrorClass::Error, "450 4.2.0 <cd@y.io> unknown after 18 ms");
        assert_eq!(one.fingerprint(), two.fingerprint());
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}
