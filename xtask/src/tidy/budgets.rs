//! Size limits and the header that every file opens with. Function lines are counted as clippy's `too_many_lines`
//! does: lines of code in the body, neither blank nor comment.

use super::lexer::{body, closing, line_of, words};
use super::tree::Source;

/// Lines of a file.
const FILE: usize = 500;
/// Lines of code in a function's body.
const FUNCTION: usize = 60;

/// Findings in one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(format!("{}:1: the first line must say what the file is for (`//! …`)", source.path));
    }
    let lines = source.text.lines().count();
    if lines > FILE {
        found.push(format!("{}: {lines} lines, the budget is {FILE}: split it", source.path));
    }
    for (line, name, length) in functions(&source.code) {
        if length > FUNCTION {
            found.push(format!(
                "{}:{line}: fn {name} has {length} lines, the budget is {FUNCTION}",
                source.path
            ));
        }
    }
    found
}

/// Line, name and length of every function that has a body.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let rest = code[at + 2..].trim_start();
        let name = rest.split(|c| !super::lexer::is_name(c)).next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        let Some(open) = body(code, at) else { continue };
        let Some(close) = closing(code, open) else { continue };
        let inside = code[open + 1..close].lines().filter(|line| !line.trim().is_empty()).count();
        found.push((line_of(code, at), name, inside));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{FILE, FUNCTION, check};
    use crate::tidy::tree::Source;

    fn findings(text: &str) -> Vec<String> {
        check(&Source::new("crates/x/src/a.rs", text))
    }

    fn function_of(lines: usize) -> String {
        let inside = "    let _ = '{'; // }\n".repeat(lines);
        format!("//! X.\nfn long(a: [u8; 2]) -> u8 {{\n{inside}}}\nfn short() {{}}\n")
    }

    #[test]
    fn a_long_function_is_found_with_its_line() {
        assert!(findings(&function_of(FUNCTION)).is_empty());
        let found = findings(&function_of(FUNCTION + 1));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/x/src/a.rs:2: fn long has 61 lines"), "{found:?}");
    }

    #[test]
    fn blank_and_comment_lines_are_free() {
        let padded = function_of(FUNCTION).replace("'{';", "'{';\n\n    // comment }\n   /* and { this */");
        assert!(findings(&padded).is_empty());
    }

    #[test]
    fn function_types_and_declarations_have_no_body() {
        let many = "    x();\n".repeat(100);
        let text = format!("//! X.\ntrait T {{ fn a(); fn b(f: fn(u8) -> u8); }}\nmod m {{\n{many}}}\n");
        assert!(findings(&text).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert!(findings(&format!("//! X.\n{}", "\n".repeat(FILE - 1))).is_empty());
        assert_eq!(findings(&format!("//! X.\n{}", "\n".repeat(FILE))).len(), 1);
    }

    #[test]
    fn a_missing_header_is_found() {
        assert_eq!(findings("use a::b;\n//! Late.\n").len(), 1);
        assert_eq!(findings("").len(), 1);
    }
}
