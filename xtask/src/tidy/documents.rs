//! A comment that sends its reader to a document names one that is in the repository, by its path from the root.

use std::path::Path;

use super::tree::Source;

/// Findings in one file.
pub(crate) fn check(root: &Path, source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        for name in named(comment).filter(|name| !root.join(name).is_file()) {
            let line = number + 1;
            found.push(format!(
                "{}:{line}: the comment names {name}, which is not in the repository: say the thing, or write the path from the root",
                source.path
            ));
        }
    }
    found
}

/// The Markdown files that a comment names; addresses elsewhere are none.
fn named(comment: &str) -> impl Iterator<Item = &str> {
    let part_of_a_path = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    let words = comment.split(move |c: char| !part_of_a_path(c));
    let file = |word: &&str| word.ends_with(".md") && !word.starts_with('.') && !word.contains("://");
    words.map(|word| word.trim_end_matches(['.', ':'])).filter(file)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Source;

    #[test]
    fn a_document_that_is_not_there_is_found_and_code_is_not_read() {
        let root = std::env::temp_dir().join(format!("backshift-documents-{}", std::process::id()));
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("docs/map.md"), "x").unwrap();
        let lines = [
            "//! See docs/map.md.",
            "/// As (other/plan.md, Names) decides.",
            "let page = \"gone.md\";",
            "// https://e.test/far.md, and every .md file",
            "    // plan.md's rule",
        ];
        let found = check(&root, &Source::new("a.rs", &lines.join("\n")));
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("a.rs:2: the comment names other/plan.md"), "{found:?}");
        assert!(found[1].contains("a.rs:5: the comment names plan.md"), "{found:?}");
    }
}
