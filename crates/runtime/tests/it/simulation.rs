//! The engine in simulated worlds: no rule of the model is broken in these seeds, a seed repeats its history, and
//! every bug that is planted on purpose is caught by the rule that its entry names.
//!
//! `cargo xtask simulate` runs 10,000 seeds; `BACKSHIFT_SIM_SEEDS` and `BACKSHIFT_SIM_FROM` change what is run here.

use backshift_testkit::simulation::{CATALOGUE, Options, catch, many, simulate};

/// No planted bug may hide for longer.
const SEEDS_TO_CATCH: u64 = 60;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_rule_is_broken_whatever_goes_wrong() {
    let (from, seeds) = (number("BACKSHIFT_SIM_FROM", 0), number("BACKSHIFT_SIM_SEEDS", 300));
    let tally = many(from, seeds, 2, |_| {});
    println!("{tally}");
    assert!(tally.is_good(), "{tally}");
    assert!(tally.jobs > seeds * 20 && tally.starts > tally.jobs, "the worlds were empty: {tally}");
}

#[test]
fn a_seed_repeats_its_history() {
    let traced = |seed| simulate(seed, Options { traced: true, ..Options::default() }).trace;
    for seed in 0..3 {
        let history = traced(seed);
        assert!(history.len() > 100, "seed {seed} has a history of {} lines", history.len());
        assert_eq!(history, traced(seed), "seed {seed}");
    }
    assert_ne!(traced(1), traced(2));
}

#[test]
fn every_planted_bug_is_caught_by_its_rule() {
    let mut missed = Vec::new();
    for (planted, rule) in CATALOGUE {
        match catch(*planted, *rule, 0, SEEDS_TO_CATCH) {
            Ok(caught) => {
                println!("{planted}: {rule} in seed {}: {}", caught.seed, caught.detail);
                let honest = simulate(caught.seed, Options::default());
                assert_eq!(honest.findings, [], "seed {} without {planted}", caught.seed);
            }
            Err(others) => missed.push(format!("{planted} by {rule}; broken were {others:?}")),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}
