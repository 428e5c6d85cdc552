//! Every adapter of the broker port has the same nine files, so that whoever knows one finds his way in the next.

use std::collections::{BTreeMap, BTreeSet};

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
    adapters.flat_map(missing).collect()
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
}
