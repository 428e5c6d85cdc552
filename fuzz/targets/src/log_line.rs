//! What every text that reaches a log, an error or a page must be: one line, bounded, without what was secret.
//!
//! A secret cannot be told from other text, so inputs mark theirs: whatever holds [`SECRET`] is one.

/// Stands for passwords and codes in inputs. Digits, so that it also passes where only a number is read.
pub(crate) const SECRET: &str = "493027";

/// A problem in words that may be logged.
pub(crate) fn assert_is_one(text: &str) {
    assert!(!text.is_empty(), "a problem without words");
    assert!(text.chars().count() <= 1_200, "{} characters: {text:.200}…", text.chars().count());
    assert!(!text.chars().any(char::is_control), "control characters in {text:?}");
}

/// No local part stands before an `@` unmasked.
pub(crate) fn assert_addresses_are_masked(text: &str) {
    let local = |c: char| c.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(c);
    for (at, _) in text.match_indices('@') {
        let before = &text[..at];
        let bare = before.ends_with(local) && !before.ends_with("***");
        assert!(!bare, "an address is not masked: {text:?}");
    }
}
