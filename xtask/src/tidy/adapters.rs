//! Every adapter of the broker port has the same nine files, so that whoever knows one finds his way in the next. And the
//! command line names an adapter in its file under `sources` and nowhere else, so that a new one is one file and one line there.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{line_of, words};
use super::tree::Source;

const FILES: [&str; 9] = [
    "broker.rs",
    "config.rs",
    "consumer.rs",
    "error.rs",
    "message.rs",
    "mod.rs",
    "publisher.rs",
    "receipt.rs",
    "topology.rs",
];

/// Folders that are no adapter of a server of their own.
const OTHERS: [(&str, &str); 3] = [
    ("embedded", "a face of `ledger`: how SQLite connects and wakes"),
    ("ledger", "what the SQL brokers share: the store has their configuration, tables and rows"),
    ("postgres", "a face of `ledger`: how PostgreSQL connects and wakes"),
];

/// Findings in the whole checkout.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources {
        let Some(below) = source.path.strip_prefix("crates/brokers/src/") else { continue };
        if let Some((folder, file)) = below.split_once('/') {
            folders.entry(folder).or_default().insert(file);
        }
    }
    let adapters = folders.into_iter().filter(|(folder, _)| OTHERS.iter().all(|(other, _)| other != folder));
    let missing = |(folder, has): (&str, BTreeSet<&str>)| {
        let of = move |file: &str| {
            format!(
                "crates/brokers/src/{folder}: {file} is missing: every adapter has the files {}",
                FILES.join(" ")
            )
        };
        FILES.into_iter().filter(move |file| !has.contains(file)).map(of).collect::<Vec<_>>()
    };
    adapters.flat_map(missing).chain(sources.iter().flat_map(named_elsewhere)).collect()
}

fn named_elsewhere(source: &Source) -> Vec<String> {
    let is_judged = source.path.starts_with("crates/cli/src/") && !source.path.contains("/sources/");
    let at = words(&source.code, "backshift_brokers").filter(|_| is_judged);
    let told = |at| {
        let line = line_of(&source.code, at);
        format!(
            "{}:{line}: only crates/cli/src/sources may name a broker's adapter: let its source answer",
            source.path
        )
    };
    at.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::{FILES, check};
    use crate::tidy::tree::Source;

    #[test]
    fn an_adapter_without_one_of_its_files_is_found_and_the_sql_brokers_are_not_judged() {
        let files = |folder: &str, without: &str| -> Vec<Source> {
            let files = FILES.iter().filter(|file| **file != without);
            files.map(|file| Source::new(&format!("crates/brokers/src/{folder}/{file}"), "")).collect()
        };
        assert!(check(&files("nats", "")).is_empty());
        let found = check(&files("nats", "topology.rs"));
        assert!(found.len() == 1 && found[0].contains("nats: topology.rs is missing"), "{found:?}");
        assert!(check(&files("embedded", "broker.rs")).is_empty());
    }

    #[test]
    fn the_command_line_names_an_adapter_in_its_source_only() {
        let found = |path: &str| check(&[Source::new(path, "//! X.\nuse backshift_brokers::nats;\n")]);
        assert!(
            found("crates/cli/src/sources/nats.rs").is_empty()
                && found("crates/backshift/src/a.rs").is_empty()
        );
        let found = found("crates/cli/src/commands/doctor.rs");
        assert!(found.len() == 1 && found[0].contains("doctor.rs:2:"), "{found:?}");
    }
}
