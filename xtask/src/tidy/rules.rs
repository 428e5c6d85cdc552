//! One MUST rule, one case: every rule of `docs/spec/` (`**B3** MUST …` at the start of a line) is named in the
//! conformance suite, and the suite names no rule that is not written down.

use std::collections::BTreeMap;

use super::lexer::{is_name, line_of, words};
use super::tree::{Page, Source};

const SUITE: &str = "crates/testkit/src/conformance/";

/// Findings over the specification and the suite.
pub(crate) fn check(pages: &[Page], sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rules: BTreeMap<&str, String> = BTreeMap::new();
    for page in pages.iter().filter(|page| page.path.starts_with("docs/spec/")) {
        for (number, line) in page.text.lines().enumerate() {
            let Some(id) = must_rule(line) else { continue };
            let here = format!("{}:{}", page.path, number + 1);
            if let Some(first) = rules.insert(id, here.clone()) {
                found.push(format!("{here}: rule {id} is already written at {first}"));
            }
        }
    }
    let cases = cases(sources, &rules);
    for (id, place) in &rules {
        if !cases.contains_key(*id) {
            found.push(format!("{place}: rule {id} has no case in {SUITE}"));
        }
    }
    for (id, place) in &cases {
        if !rules.contains_key(id.as_str()) {
            found.push(format!("{place}: case {id} tests a MUST rule that docs/spec does not have"));
        }
    }
    found
}

/// The id of the MUST rule that a line states.
fn must_rule(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let item = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).unwrap_or(line);
    let (id, rest) = item.trim_start().strip_prefix("**")?.split_once("**")?;
    (is_id(id) && rest.trim_start().starts_with("MUST")).then_some(id)
}

/// Letters and then digits: `B3`, `ST12`.
fn is_id(text: &str) -> bool {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_uppercase());
    digits.len() < text.len() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn letters(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Ids that the suite names: as a string, as a name (`B3`) or at the start of a function's name (`b3_…`). Only the
/// letters that rules use count: `"UTF8"` is not a rule.
fn cases(sources: &[Source], rules: &BTreeMap<&str, String>) -> BTreeMap<String, String> {
    let known = |id: &str| is_id(id) && rules.keys().any(|rule| letters(rule) == letters(id));
    let mut found = BTreeMap::new();
    for source in sources.iter().filter(|source| source.path.starts_with(SUITE)) {
        let mut add = |id: String, line: usize| {
            if known(&id) {
                found.entry(id).or_insert_with(|| format!("{}:{line}", source.path));
            }
        };
        source.literals.iter().for_each(|literal| add(literal.value.clone(), literal.line));
        for at in words(&source.code, "fn") {
            let name = source.code[at + 2..].trim_start();
            if let Some((id, _)) = name.split_once('_') {
                add(id.to_uppercase(), line_of(&source.code, at));
            }
        }
        for (number, line) in source.code.lines().enumerate() {
            line.split(|c| !is_name(c)).for_each(|word| add(word.to_owned(), number + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{check, must_rule};
    use crate::tidy::tree::{Page, Source};

    fn findings(spec: &str, suite: &str) -> Vec<String> {
        let page = Page { path: "docs/spec/broker.md".to_owned(), text: spec.to_owned() };
        check(&[page], &[Source::new("crates/testkit/src/conformance/broker.rs", suite)])
    }

    #[test]
    fn reads_rules_in_lists_and_plain() {
        assert_eq!(must_rule("**B3** MUST keep order"), Some("B3"));
        assert_eq!(must_rule("- **ST12** MUST keep order"), Some("ST12"));
        assert_eq!(must_rule("**B3** SHOULD keep order"), None);
        assert_eq!(must_rule("see **B3** MUST"), None);
        assert_eq!(must_rule("**Bold** MUST"), None);
    }

    #[test]
    fn each_side_needs_the_other() {
        assert!(findings("**B1** MUST a\n", "const ID: &str = \"B1\"; // B7").is_empty());
        assert!(findings("**B1** MUST a\n", "fn b1_keeps_order() {}").is_empty());
        let uncovered = findings("**B1** MUST a\n\n**B2** MUST b\n", "case(\"B1\")");
        assert_eq!(uncovered.len(), 1);
        assert!(uncovered[0].starts_with("docs/spec/broker.md:3: rule B2"), "{uncovered:?}");
        let unwritten = findings("**B1** MUST a\n", "case(\"B1\");\ncase(\"B9\"); text(\"UTF8\")");
        assert_eq!(unwritten.len(), 1);
        assert!(unwritten[0].contains("broker.rs:2: case B9"), "{unwritten:?}");
    }

    #[test]
    fn a_rule_is_written_once() {
        assert_eq!(findings("**B1** MUST a\n**B1** MUST b\n", "\"B1\"").len(), 1);
    }
}
