//! Every MUST of `docs/spec/` has a case, every case has its MUST, and every row of
//! `docs/spec/bad-input.md`, `docs/spec/faults.md` and `docs/spec/security.md` has its tests.

use std::{collections::BTreeSet, path::Path};

use backshift_testkit::conformance;

fn written(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec").join(file);
    let text = std::fs::read_to_string(&path).expect("the spec is there");
    let mut rules = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("**")) {
        let rule = line.trim_start_matches('*').split("**").next().unwrap_or_default().to_owned();
        assert!(line.contains("MUST"), "{file}: {rule} says no MUST");
        assert!(rules.insert(rule.clone()), "{file}: {rule} is there twice");
    }
    rules
}

fn compare(file: &str, cases: Vec<String>) {
    let tried: BTreeSet<String> = cases.iter().cloned().collect();
    assert_eq!(tried.len(), cases.len(), "two cases of one rule in {cases:?}");
    let written = written(file);
    let untried: Vec<_> = written.difference(&tried).collect();
    let unwritten: Vec<_> = tried.difference(&written).collect();
    assert!(untried.is_empty(), "{file}: rules without a case: {untried:?}");
    assert!(unwritten.is_empty(), "{file}: cases without a rule: {unwritten:?}");
}

#[test]
fn every_rule_of_brokers_has_a_case() {
    compare("broker.md", conformance::broker_rules());
}

#[test]
fn every_rule_of_stores_has_a_case() {
    compare("store.md", conformance::store_rules());
}

#[test]
fn every_rule_of_the_engine_has_a_case() {
    compare("engine.md", conformance::engine_rules());
}

#[test]
fn every_bad_input_is_tried_by_tests_that_are_there() {
    every_row_names_its_tests("bad-input.md", 20);
}

#[test]
fn every_fault_is_shown_by_tests_that_are_there() {
    every_row_names_its_tests("faults.md", 30);
}

#[test]
fn every_attack_is_tried_again_by_tests_that_are_there() {
    every_row_names_its_tests("security.md", 20);
}

/// Each row of the tables ends with the names of tests, or with a word on another row's and names.
fn every_row_names_its_tests(file: &str, at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = std::fs::read_to_string(root.join("docs/spec").join(file)).expect("the table is there");
    let mut code = String::new();
    for folder in ["crates", "fuzz/targets"] {
        collect(&root.join(folder), &mut code);
    }
    let head = |line: &&str| ["| case", "| no.", "| input"].iter().any(|head| line.starts_with(head));
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !head(line)).collect();
    assert!(rows.len() >= at_least, "{file}: only {} rows were found", rows.len());
    for row in rows {
        let named = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        let tests: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test for: {row}");
        for test in tests {
            // A macro that makes a test for each broker has its name before a colon.
            let there = code.contains(&format!("fn {test}(")) || code.contains(&format!("{test}: super::"));
            assert!(there, "there is no test {test} any more: {row}");
        }
    }
}

/// All Rust code below this folder.
fn collect(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, code);
        } else if path.extension().is_some_and(|end| end == "rs") {
            code.push_str(&std::fs::read_to_string(&path).expect("it is text"));
        }
    }
}
