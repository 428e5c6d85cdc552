//! Every MUST of `docs/spec/` has a case and every case has its MUST, in the same order of chapters.

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
