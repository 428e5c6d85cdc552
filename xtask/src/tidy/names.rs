//! Module names that say nothing about their content, and so attract everything.

use super::lexer::{is_name, line_of, words};
use super::tree::Source;

const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "manager", "misc", "base"];

/// Findings in one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            found.push(format!(
                "{}: {part:?} does not say what is inside: name it after its content",
                source.path
            ));
        }
    }
    for at in words(&source.code, "mod") {
        let rest = source.code[at + 3..].trim_start();
        let name = rest.split(|c| !is_name(c)).next().unwrap_or_default();
        let is_inline = rest[name.len()..].trim_start().starts_with('{');
        if is_inline && EMPTY_NAMES.contains(&name) {
            let line = line_of(&source.code, at);
            found.push(format!("{}:{line}: module {name:?} does not say what is inside", source.path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Source;

    #[test]
    fn empty_names_are_found_as_file_directory_and_inline_module() {
        assert_eq!(check(&Source::new("crates/a/src/utils.rs", "")).len(), 1);
        assert_eq!(check(&Source::new("crates/a/src/common/x.rs", "")).len(), 1);
        assert_eq!(check(&Source::new("crates/a/src/x.rs", "mod helpers { }")).len(), 1);
        assert!(
            check(&Source::new("crates/a/src/database.rs", "mod utilisation { } // mod utils {")).is_empty()
        );
    }
}
