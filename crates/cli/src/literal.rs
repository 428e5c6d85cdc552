//! Braces in a text of the help.

/// clap makes a line break of `{n}`; a change of colour that changes nothing keeps it from being seen as one, and is taken out
/// again where no terminal reads.
pub(crate) fn literal(text: &str) -> String {
    text.replace("{n}", "{\u{1b}[0mn}")
}
