//! An error as it is stored and shown, and what groups errors of one cause.
//!
//! A fingerprint leaves out what varies (numbers, ids, quoted values) but for a word of three digits, which is a server's reply code.

use std::fmt;

/// The longest error text that is kept, in bytes; the rest is cut with an end mark.
pub const MAX_ERROR_BYTES: usize = 4096;

/// The longest text of a fingerprint, in bytes. Words are taken up to 200; this cuts a last one that is endless.
const MAX_SHAPE: usize = 300;

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
    /// Sent back uncounted: snooze, shutdown, open breaker.
    Released,
    /// Sent back uncounted because its worker has no handler for the kind: the job is parked. In the attempts it is one that was
    /// released, like the others.
    UnknownKind,
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
            Self::UnknownKind => "unknown-kind",
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

    /// Equal for errors that differ only in numbers, ids and quoted values. A bracket that belongs to the words around such a value
    /// stays, so that the rest still reads well.
    pub fn fingerprint(&self) -> String {
        let mut shape = String::with_capacity(self.message.len().min(200));
        for word in self.message.split_whitespace() {
            if shape.len() > 200 {
                break;
            }
            let varies = word.chars().any(|c| c.is_ascii_digit() || "\"'`@".contains(c));
            let known = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
            if varies && !known {
                let (closed, opened) = unpaired(word);
                shape.extend(opened.chars().take_while(|_| closed.is_empty()));
                shape.push('*');
                shape.push_str(&closed);
                shape.extend(opened.chars().take_while(|_| !closed.is_empty()));
            } else {
                shape.push_str(word);
            }
            shape.push(' ');
        }
        let end = (0..=MAX_SHAPE).rev().find(|i| shape.is_char_boundary(*i)).unwrap_or(0);
        let text = shape.get(..end).unwrap_or(&shape).trim_end();
        format!("{}: {text}", self.class.as_str())
    }
}

/// The brackets of a word that have no partner in it: first those that close, then those that open. What the word has between two
/// quotes is skipped. An apostrophe inside the word does not begin a quotation, nor does a quote that only another word closes.
fn unpaired(word: &str) -> (String, String) {
    const PAIRS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];
    let (mut closed, mut opened) = (String::new(), String::new());
    let (mut rest, mut before) = (word.chars(), ' ');
    while let Some(c) = rest.next() {
        let quotes = "\"'`".contains(c) && !before.is_alphanumeric();
        before = c;
        if let Some((_, after)) = rest.as_str().split_once(c).filter(|_| quotes) {
            rest = after.chars();
            continue;
        }
        match PAIRS.iter().find(|(open, close)| c == *open || c == *close) {
            Some((open, _)) if c == *open => opened.push(c),
            Some((open, _)) if opened.ends_with(*open) => drop(opened.pop()),
            Some(_) => closed.push(c),
            None => {}
        }
    }
    (closed, opened)
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

    #[test]
    fn brackets_inside_quotes_vary_with_them_and_a_fingerprint_has_an_end() {
        let of = |text: &str| ErrorReport::new(ErrorClass::Error, text).fingerprint();
        let plain = of("user 'ab' not found");
        for name in ["'a(b'", "'a)b'", "\"]\"", "`{{`", "'('"] {
            assert_eq!(of(&format!("user {name} not found")), plain, "{name}");
        }
        assert_eq!(of("find('a(b', 'c)') failed"), "error: (* *) failed");
        assert_eq!(of("(it's(user's) own)"), "error: (* own)");
        for long in ["ü".repeat(4000), format!("1{}", "(".repeat(4000)), format!("a{}", "]".repeat(4000))] {
            assert!(of(&long).len() <= MAX_SHAPE + "error: ".len());
        }
    }

    #[test]
    fn a_fingerprint_of_balanced_text_is_balanced() {
        let of = |text: &str| ErrorReport::new(ErrorClass::Error, text).fingerprint();
        for (text, print) in [
            ("503 try again later (attempt 3)", "error: 503 try again later (attempt *)"),
            ("(3 of 7) failed", "error: (* of *) failed"),
            ("f(3) and g[x1, y2]", "error: * and [* *]"),
            ("at {a: 1}, (b: [2]) end", "error: at {a: *} (b: *) end"),
            ("a1)(b2", "error: *)("),
        ] {
            assert_eq!(of(text), print, "{text}");
        }
        // Every text of five of these words, whichever way they close what they open.
        let words = ["(a", "b)", "(1", "2)", "[3", "4]", "(5)", "x(6", "7)y", "plain"];
        let depth = |text: &str| {
            text.chars().try_fold(Vec::new(), |mut open, c| {
                match c {
                    '(' | '[' => open.push(c),
                    ')' if open.pop() != Some('(') => return None,
                    ']' if open.pop() != Some('[') => return None,
                    _ => {}
                }
                Some(open)
            })
        };
        let is_balanced = |text: &str| depth(text).is_some_and(|open| open.is_empty());
        let mut balanced = 0;
        for n in 0..10_usize.pow(5) {
            let text: Vec<&str> = (0..5).map(|place| words[n / 10_usize.pow(place) % 10]).collect();
            let text = text.join(" ");
            if is_balanced(&text) {
                balanced += 1;
                assert!(is_balanced(&of(&text)), "{text}: {}", of(&text));
            }
        }
        assert!(balanced > 1000, "{balanced}");
    }
}
