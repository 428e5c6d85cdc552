//! A domain is named in its folder, in its file of the command line and nowhere else, so that a new one is a folder, a file and a
//! line. What is below the domains knows none of them.

use std::collections::BTreeSet;

use super::boundary::without_tests;
use super::imports::imports;
use super::lexer::{line_of, words};
use super::tree::Source;

const FOLDER: &str = "crates/domains/src/";
const WIRED: &str = "crates/cli/src/domains/";

/// Files of the command line that are about one domain, each with the reason why they are not among its wiring.
const CHOSEN: &[(&str, &str)] = &[
    ("commands/dev.rs", "`dev` shows where the mails of its tour are read, and offers the demo jobs"),
    ("commands/suppressions.rs", "the command is one of mail's"),
    ("commands/users.rs", "the command is one of identity's"),
    ("commands/worker.rs", "a worker on system C's queue greets its operators as system C did"),
];

/// Names of domains that are words of the layers below too, with what they mean there.
const WORDS: &[(&str, &str)] = &[
    ("demo", "an example"),
    ("mail", "the crate that writes and sends mails"),
    ("probe", "what a container is asked by"),
];

const BELOW: &[&str] = &["crates/core/src/", "crates/runtime/src/", "crates/store/src/", "crates/http/src/"];

/// Findings in the whole checkout.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    let folders: BTreeSet<&str> = sources
        .iter()
        .filter_map(|source| source.path.strip_prefix(FOLDER)?.split_once('/').map(|(folder, _)| folder))
        .collect();
    sources.iter().flat_map(|source| [wired(source, &folders), below(source, &folders)].concat()).collect()
}

/// The command line outside of its `domains`.
fn wired(source: &Source, folders: &BTreeSet<&str>) -> Vec<String> {
    let Some(file) = source.path.strip_prefix("crates/cli/src/") else { return Vec::new() };
    if source.path.starts_with(WIRED) || CHOSEN.iter().any(|(chosen, _)| *chosen == file) {
        return Vec::new();
    }
    let code = without_tests(&source.code);
    let concrete =
        words(&code, "backshift_domains").map(|at| (line_of(&code, at), "backshift_domains".to_owned()));
    let of_folder = |path: &[String]| {
        path.first().is_some_and(|first| first == "domains")
            && path.get(1).is_some_and(|second| folders.contains(second.as_str()))
    };
    let named = imports(&code, &[]).into_iter().filter(|import| of_folder(&import.path));
    let named = named.map(|import| (1, import.path.join("::")));
    let told = |(line, name): (usize, String)| {
        format!(
            "{}:{line}: {name}: only {WIRED} may name a domain; let its descriptor answer, or list the file with its reason in \
             xtask/src/tidy/domains.rs",
            source.path
        )
    };
    concrete.chain(named).map(told).collect()
}

/// A layer that domains stand on: no name of its code is a domain's.
fn below(source: &Source, folders: &BTreeSet<&str>) -> Vec<String> {
    if !BELOW.iter().any(|layer| source.path.starts_with(layer)) {
        return Vec::new();
    }
    let code = without_tests(&source.code);
    let own = folders.iter().filter(|folder| WORDS.iter().all(|(word, _)| word != *folder));
    let found = own
        .flat_map(|folder| words(&code, folder).map(|at| (line_of(&code, at), *folder)).collect::<Vec<_>>());
    found
        .map(|(line, name)| format!("{}:{line}: {name} is a domain, and this layer knows none", source.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Source;

    fn found(path: &str, text: &str) -> Vec<String> {
        let folders =
            ["waitlist", "mail"].map(|name| Source::new(&format!("{}{name}/mod.rs", super::FOLDER), ""));
        check(&folders.into_iter().chain([Source::new(path, text)]).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_names_a_domain_in_its_file_only() {
        for text in [
            "use backshift_domains::waitlist::Position;",
            "use crate::domains::waitlist;",
            "use crate::{config, domains::{self, mail::Post}};",
            "fn a() { crate::domains::mail::post(); }",
        ] {
            assert_eq!(found("crates/cli/src/commands/jobs.rs", text).len(), 1, "{text}");
            assert!(found("crates/cli/src/domains/mail.rs", text).is_empty(), "{text}");
            assert!(found("crates/cli/src/commands/users.rs", text).is_empty(), "{text}");
        }
        assert!(
            found("crates/cli/src/commands/jobs.rs", "use crate::domains::{self, Equipment};").is_empty()
        );
    }

    #[test]
    fn the_layers_below_know_none() {
        let text = "//! waitlist\nconst A: &str = \"waitlist\";\nstruct A { waitlist: u8 }\n#[cfg(test)]\nmod t { fn waitlist() {} }";
        assert_eq!(found("crates/http/src/pages/mod.rs", text).len(), 1);
        assert!(found("crates/http/src/pages/mod.rs", "use backshift_mail::mask; fn mail() {}").is_empty());
        assert!(found("crates/cli/src/args.rs", "struct A { waitlist: u8 }").is_empty());
    }
}
