//! Only `cli` reads the environment and handles signals; a library that did would surprise the program around it.
//! Tests, developer tools and example programs are their own outermost program and may, and so may the one function by
//! which a program asks for its signals.

use super::imports::members;
use super::lexer::{body, closing, line_of, words};
use super::tree::Source;

const FREE: &[&str] = &[
    "crates/cli/",
    "crates/servers/",
    "crates/testkit/",
    "xtask/",
    "examples/",
    "benches/",
    "crates/backshift/src/signals.rs",
];

/// What reaches outside, and how to say so.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::env", "the environment"),
    ("tokio::signal", "signals"),
    ("signal_hook", "signals"),
    ("ctrl_c", "signals"),
    ("nix::sys::signal", "signals"),
];

/// Imports that hide in a group: `use std::{env, fs}`.
const GROUPS: &[(&str, &str, &str)] =
    &[("use std::{", "env", "the environment"), ("use tokio::{", "signal", "signals")];

/// Findings in one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    if is_free(&source.path) {
        return Vec::new();
    }
    let code = without_tests(&source.code);
    let mut found = Vec::new();
    let mut report = |at: usize, what: &str, name: &str| {
        let line = line_of(&code, at);
        found.push(format!("{}:{line}: {name}: only crates/cli may touch {what}; pass it in", source.path));
    };
    for (name, what) in FORBIDDEN {
        words(&code, name).for_each(|at| report(at, what, name));
    }
    for (opening, member, what) in GROUPS {
        for (at, _) in code.match_indices(opening) {
            if group_has(&code, at + opening.len() - 1, member) {
                report(at, what, member);
            }
        }
    }
    found
}

fn is_free(path: &str) -> bool {
    FREE.iter().any(|free| path.starts_with(free))
        || path.split('/').any(|part| matches!(part, "tests" | "examples" | "benches"))
        || path.ends_with("/tests.rs")
        || path.ends_with("build.rs")
}

/// Whether one of the top-level names in the braces at `open` is `member`.
fn group_has(code: &str, open: usize, member: &str) -> bool {
    let Some(close) = closing(code, open) else { return false };
    members(&code[open + 1..close])
        .into_iter()
        .any(|part| part.trim().split(|c: char| !super::lexer::is_name(c)).next() == Some(member))
}

/// The code with every `#[cfg(test)]` item blanked, lines kept.
pub(super) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = code.to_owned();
    while let Some(at) = kept.find(MARK) {
        let after = at + MARK.len();
        let open = body(&kept, after);
        let end = match open.and_then(|open| closing(&kept, open)) {
            Some(close) => close + 1,
            None => kept[after..].find(';').map_or(kept.len(), |semicolon| after + semicolon + 1),
        };
        let blank: String = kept[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        kept.replace_range(at..end, &blank);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Source;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text))
    }

    const LIBRARY: &str = "crates/store/src/a.rs";

    #[test]
    fn the_environment_is_found_in_each_spelling() {
        for text in [
            "fn a() { std::env::var(\"X\"); }",
            "use std::env;",
            "use std::{\n    env, fs};",
            "use std::{fs, env::{self, var}};",
        ] {
            assert_eq!(findings(LIBRARY, text).len(), 1, "{text}");
        }
    }

    #[test]
    fn signals_are_found() {
        assert_eq!(findings(LIBRARY, "async fn a() { tokio::signal::unix::signal(k); }").len(), 1);
        assert_eq!(findings(LIBRARY, "use tokio::{signal, time};").len(), 1);
    }

    #[test]
    fn the_line_is_named() {
        let found = findings(LIBRARY, "//! X.\n\nuse std::env;\n");
        assert!(found[0].starts_with("crates/store/src/a.rs:3:"), "{found:?}");
    }

    #[test]
    fn words_that_only_look_like_it_are_not() {
        let text = "use std::{fs, collections::{env}}; // std::env\nconst A: &str = \"std::env\"; use std::envelope;";
        assert!(findings(LIBRARY, text).is_empty());
        assert!(findings(LIBRARY, "const V: &str = env!(\"CARGO_PKG_VERSION\");").is_empty());
    }

    #[test]
    fn tests_and_programs_may() {
        let text = "#[cfg(test)]\nmod tests {\n    use std::env;\n    fn f() { if a { b } }\n}\n";
        assert!(findings(LIBRARY, text).is_empty());
        assert_eq!(findings(LIBRARY, &format!("{text}use std::env;\n")).len(), 1);
        for path in ["crates/cli/src/a.rs", "crates/store/tests/it/main.rs", "examples/a/src/main.rs"] {
            assert!(findings(path, "use std::env;").is_empty(), "{path}");
        }
    }
}
