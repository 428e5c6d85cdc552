//! What somebody may have meant by a name that nobody knows.

/// The closest known name, if one is close enough to be a typing error.
pub fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let scored = known.into_iter().map(|known| (strsim::damerau_levenshtein(name, &known), known));
    let (distance, known) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len() / 3 + 1).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_has_a_nearest_name_and_another_word_has_none() {
        let known = || ["available", "completed", "dead"].map(str::to_owned);
        assert_eq!(nearest("compelted", known()).as_deref(), Some("completed"));
        assert_eq!(nearest("ded", known()).as_deref(), Some("dead"));
        assert_eq!(nearest("nonsense", known()), None);
        assert_eq!(nearest("dead", []), None);
    }
}
