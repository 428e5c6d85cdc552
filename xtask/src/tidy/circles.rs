//! Two files of one crate that import each other can only be read together: one of them holds what belongs in a third.
//!
//! Imports are followed through the `pub use` of a `mod.rs` to the file that defines the name. Tests are not read: they may
//! use everything.

use std::collections::{BTreeMap, BTreeSet};

use super::boundary::without_tests;
use super::imports::{Import, imports};
use super::tree::Source;

/// A circle that stays: the crate, and the files below its `src`.
type Kept = (&'static str, &'static [&'static str]);

/// Circles that somebody chose, each with its reason.
const CHOSEN: &[Kept] = &[
    // The settings of a broker and of a domain stand in its file, which also reads them; the list of all settings joins them.
    (
        "crates/cli",
        &[
            "config/mod.rs",
            "config/settings.rs",
            "config/sources.rs",
            "domains/mod.rs",
            "sources/later.rs",
            "sources/mod.rs",
            "wiring/backend.rs",
            "wiring/lines.rs",
            "wiring/places.rs",
            "wiring/servers.rs",
            "wiring/store.rs",
            "wiring/ways.rs",
        ],
    ),
];

/// Circles that were there when this check was written. Nobody chose them: the list only shrinks.
const FOUND: &[Kept] = &[
    ("benches", &["ours/mail.rs", "raw/mail.rs", "raw/mail_lettre.rs", "rows/mail.rs"]),
    (
        "crates/core",
        &[
            "broker.rs",
            "client.rs",
            "context.rs",
            "ends.rs",
            "envelope.rs",
            "error.rs",
            "handler.rs",
            "job.rs",
            "middleware.rs",
            "names.rs",
            "presence.rs",
            "record.rs",
            "registry.rs",
            "settle.rs",
            "store/ledger.rs",
            "store/mod.rs",
            "sweep.rs",
        ],
    ),
    (
        "crates/http",
        &[
            "pages/entry/mod.rs",
            "pages/live.rs",
            "pages/mod.rs",
            "pages/prefix.rs",
            "pages/render.rs",
            "pages/section.rs",
            "pages/sight.rs",
            "pages/theme.rs",
        ],
    ),
    (
        "crates/mail",
        &[
            "decode/fields.rs",
            "decode/file.rs",
            "decode/list.rs",
            "decode/mod.rs",
            "email.rs",
            "message/attachment.rs",
            "message/compose.rs",
            "message/headers.rs",
        ],
    ),
    ("crates/mail", &["templates/engine.rs", "templates/shipped.rs"]),
    ("crates/store", &["allowances.rs", "limits.rs", "sql_store.rs"]),
    (
        "crates/store",
        &[
            "db.rs",
            "postgres/address.rs",
            "postgres/pool.rs",
            "postgres/tls.rs",
            "postgres/tx.rs",
            "postgres/ways.rs",
            "query.rs",
            "sqlite/batch.rs",
            "sqlite/statement.rs",
            "sqlite/store.rs",
            "sqlite/tx.rs",
            "sqlite/writer.rs",
        ],
    ),
    ("crates/store", &["ledger/anonymous.rs", "ledger/deliveries.rs", "ledger/takeover.rs"]),
    ("crates/store", &["ledger/rescue.rs", "liveness/mod.rs"]),
    (
        "crates/testkit",
        &[
            "memory/breakers.rs",
            "memory/ledger.rs",
            "memory/ledger_broker.rs",
            "memory/limits.rs",
            "memory/store.rs",
            "memory/table.rs",
        ],
    ),
    ("crates/testkit", &["memory/broker.rs", "memory/consumer.rs", "memory/receipt.rs"]),
    ("crates/testkit", &["siege/attack.rs", "siege/honest.rs", "siege/mod.rs", "siege/server.rs"]),
    (
        "crates/testkit",
        &[
            "simulation/life.rs",
            "simulation/planted.rs",
            "simulation/producer.rs",
            "simulation/run.rs",
            "simulation/storm.rs",
            "simulation/verdict.rs",
            "simulation/world.rs",
        ],
    ),
    (
        "crates/domains",
        &[
            "identity/accounts.rs",
            "identity/challenges.rs",
            "identity/code_mail.rs",
            "identity/counts.rs",
            "identity/guesses.rs",
            "identity/limits.rs",
            "identity/send_code.rs",
            "identity/service.rs",
        ],
    ),
    ("crates/domains", &["mail/deliver.rs", "mail/verdict.rs"]),
    ("crates/domains", &["probe/handler.rs", "probe/modes.rs"]),
];

/// Findings in the whole checkout.
pub(crate) fn check(sources: &[Source]) -> Vec<String> {
    judge(sources, &[CHOSEN, FOUND].concat())
}

fn judge(sources: &[Source], list: &[Kept]) -> Vec<String> {
    let mut found = Vec::new();
    let mut gone: Vec<&Kept> = list.iter().collect();
    for (krate, files) in crates(sources) {
        for circle in circles(&edges(&files)) {
            let is_this = |(of, files): &&Kept| {
                *of == krate && files.iter().copied().collect::<BTreeSet<_>>() == circle
            };
            let is_kept = list.iter().any(|kept| is_this(&kept));
            gone.retain(|kept| !is_this(kept));
            if !is_kept {
                let names: Vec<&str> = circle.into_iter().collect();
                found.push(format!(
                    "{krate}: these files import each other: {}; move what they share into a file of its own, or list the circle with \
                     its reason in xtask/src/tidy/circles.rs",
                    names.join(", ")
                ));
            }
        }
    }
    let told = |(krate, files): &Kept| {
        let files = files.join(", ");
        format!(
            "{krate}: the circle of {files} is gone or has changed: take it off the list in xtask/src/tidy/circles.rs"
        )
    };
    found.extend(gone.into_iter().map(told));
    found
}

/// The files of each crate, by their path below `src`.
fn crates(sources: &[Source]) -> BTreeMap<&str, BTreeMap<&str, String>> {
    let mut found: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for source in sources {
        if let Some((krate, file)) = source.path.split_once("/src/") {
            found.entry(krate).or_default().insert(file, without_tests(&source.code));
        }
    }
    found
}

type Edges<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Which file imports something that which other file defines.
fn edges<'a>(files: &BTreeMap<&'a str, String>) -> Edges<'a> {
    let modules: BTreeMap<Vec<String>, &str> = files.keys().map(|file| (module(file), *file)).collect();
    let reads: BTreeMap<&str, Vec<Import>> =
        files.iter().map(|(file, code)| (*file, imports(code, &module(file)))).collect();
    let mut edges = Edges::new();
    for (file, imports) in &reads {
        // What a file only hands on is not what it works with.
        for import in imports.iter().filter(|import| !import.is_handed_on) {
            let to = resolve(&import.path, &modules, &reads, 0);
            if let Some(to) = to.filter(|to| to != file) {
                edges.entry(file).or_default().insert(to);
            }
        }
    }
    edges
}

/// `a/b.rs` and `a/b/mod.rs` are the module `a::b`; `lib.rs` and `main.rs` are the crate.
fn module(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&stem) {
        parts.pop();
    }
    parts
}

/// The file that defines what a path names.
fn resolve<'a>(
    path: &[String],
    modules: &BTreeMap<Vec<String>, &'a str>,
    reads: &BTreeMap<&'a str, Vec<Import>>,
    depth: usize,
) -> Option<&'a str> {
    let longest = (0..=path.len()).rev().find(|n| modules.contains_key(&path[..*n]))?;
    let file = modules[&path[..longest]];
    let Some(name) = path.get(longest) else { return Some(file) };
    let handed_on = reads[file].iter().find(|import| import.is_handed_on && import.name == *name);
    match handed_on {
        // A name that is handed on under itself would go in circles.
        Some(import) if depth < 8 && import.path != path => {
            let mut further = import.path.clone();
            further.extend_from_slice(&path[longest + 1..]);
            resolve(&further, modules, reads, depth + 1)
        }
        _ => Some(file),
    }
}

/// Sets of files that lead to each other: the strongly connected components with more than one member.
fn circles<'a>(edges: &Edges<'a>) -> Vec<BTreeSet<&'a str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|from| (*from, reached(from, edges))).collect();
    let mut found: Vec<BTreeSet<&'a str>> = Vec::new();
    for (from, to) in &reach {
        let back = |other: &&&str| reach.get(**other).is_some_and(|further| further.contains(from));
        let circle: BTreeSet<&'a str> = to.iter().filter(back).copied().collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reached<'a>(from: &str, edges: &Edges<'a>) -> BTreeSet<&'a str> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        for to in edges.get(file).into_iter().flatten() {
            if seen.insert(*to) {
                open.push(to);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::{Kept, judge};
    use crate::tidy::tree::Source;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        found_beside(files, &[])
    }

    fn found_beside(files: &[(&str, &str)], list: &[Kept]) -> Vec<String> {
        let sources: Vec<Source> =
            files.iter().map(|(file, text)| Source::new(&format!("crates/a/src/{file}"), text)).collect();
        judge(&sources, list)
    }

    #[test]
    fn two_files_that_import_each_other_are_found() {
        let found = found(&[
            ("lib.rs", "mod one; mod two;"),
            ("one.rs", "use crate::two::Two; pub struct One;"),
            ("two.rs", "use super::one::{One, other}; pub struct Two;"),
        ]);
        assert!(found.len() == 1 && found[0].contains("one.rs, two.rs"), "{found:?}");
    }

    #[test]
    fn a_way_through_a_module_s_face_leads_to_the_file_behind_it() {
        let found = found(&[
            ("lib.rs", "mod sub; mod out; pub use sub::Deep;"),
            ("out.rs", "use crate::sub::{self, Deep as D};"),
            ("sub/mod.rs", "mod deep; mod near; pub(super) use deep::Deep; pub use near::*;"),
            ("sub/deep.rs", "use super::near::Near; use crate::out;"),
            ("sub/near.rs", "struct Near;"),
        ]);
        assert!(found.len() == 1 && found[0].contains("out.rs, sub/deep.rs"), "{found:?}");
    }

    #[test]
    fn a_face_that_defines_something_and_hands_its_children_on_is_no_circle() {
        let found = found(&[
            ("lib.rs", "mod sub; pub use sub::Child; pub struct Root;"),
            ("sub/mod.rs", "mod child; pub use child::Child; pub fn shared() {}"),
            (
                "sub/child.rs",
                "use super::shared; use crate::Root; fn a() { super::shared() } pub struct Child;",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_listed_circle_is_let_be_and_one_that_is_gone_leaves_the_list() {
        let files = [("lib.rs", ""), ("one.rs", "use crate::two::B;"), ("two.rs", "use crate::one::A;")];
        let list = [("crates/a", &["one.rs", "two.rs"][..])];
        assert!(found_beside(&files, &list).is_empty());
        let left = found_beside(&files[..2], &list);
        assert!(left.len() == 1 && left[0].contains("take it off"), "{left:?}");
    }

    #[test]
    fn tests_may_import_what_they_like_and_a_path_in_the_code_counts() {
        let one = "fn a() { crate::two::b() } #[cfg(test)] mod tests { use crate::three::T; }";
        let two = "#[cfg(test)] mod tests { use crate::one::a; } fn b() {}";
        let files = [("lib.rs", ""), ("one.rs", one), ("two.rs", two), ("three.rs", "use crate::one::a;")];
        assert!(found(&files).is_empty());
        let files = [("lib.rs", ""), ("one.rs", one), ("two.rs", "fn b() { crate::one::a() }")];
        assert_eq!(found(&files).len(), 1);
    }
}
