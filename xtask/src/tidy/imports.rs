//! What a file names of its own crate: `use` trees and paths in its code, as absolute paths from the crate's root.
//!
//! Only `crate::`, `super::` and `self::` begin such a path; a `use` in a face (`mod.rs`) may also begin with one of its children.

use super::lexer::{is_name, words};

/// One name and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// From the crate's root.
    pub(crate) path: Vec<String>,
    /// What it is called here.
    pub(crate) name: String,
    /// `pub use`: this file is not the one that needs it.
    pub(crate) is_handed_on: bool,
}

/// The imports of the file that is this module. `code` has no comments and no tests.
pub(crate) fn imports(code: &str, module: &[String]) -> Vec<Import> {
    let (mut found, mut rest) = (Vec::new(), code.to_owned());
    for at in words(code, "use") {
        let Some(end) = code[at..].find(';').map(|n| at + n) else { continue };
        let before = code[..at].trim_end();
        let starts =
            before.is_empty() || before.ends_with([';', '}', '{', ']', ')']) || before.ends_with("pub");
        if !starts || code[at..end].contains("=") {
            continue;
        }
        let is_handed_on = before.ends_with("pub") || before.ends_with(')') && is_restricted(before);
        let mut leaves = Vec::new();
        tree(&code[at + 3..end], &mut Vec::new(), &mut leaves);
        for (parts, name) in leaves {
            if let Some(path) = absolute(&parts, module, code) {
                found.push(Import { path, name, is_handed_on });
            }
        }
        rest.replace_range(at..end, &" ".repeat(end - at));
    }
    found.extend(in_code(&rest, module));
    found
}

/// `pub(super)`, `pub(crate)`, `pub(in …)` before a `use`.
fn is_restricted(before: &str) -> bool {
    before.rfind('(').is_some_and(|open| before[..open].trim_end().ends_with("pub"))
}

/// The leaves of a `use` tree: their paths, and what they are called here.
fn tree(text: &str, prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let text = text.trim();
    let depth = prefix.len();
    match text.split_once('{') {
        Some((head, group)) => {
            prefix.extend(parts(head));
            for member in members(group.trim_end().trim_end_matches('}')) {
                tree(member, prefix, leaves);
            }
        }
        None => {
            let (path, alias) = match text.split_once(" as ") {
                Some((path, alias)) => (path, Some(alias.trim().to_owned())),
                None => (text, None),
            };
            let mut whole = prefix.clone();
            whole.extend(parts(path).filter(|part| part != "self" || prefix.is_empty()));
            let name = alias.or_else(|| whole.last().cloned()).unwrap_or_default();
            leaves.push((whole, name));
        }
    }
    prefix.truncate(depth);
}

fn parts(path: &str) -> impl Iterator<Item = String> + '_ {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}

/// The members of a group, commas in nested groups left alone.
pub(super) fn members(group: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.filter(|part| !part.trim().is_empty()).collect()
}

/// The path from the crate's root, when it begins there.
fn absolute(parts: &[String], module: &[String], code: &str) -> Option<Vec<String>> {
    let (mut base, mut rest) = (module.to_vec(), parts);
    match parts.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &parts[1..];
        }
        "self" => rest = &parts[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        child if words(code, &format!("mod {child}")).next().is_some() => {}
        _ => return None,
    }
    base.extend(rest.iter().filter(|part| *part != "*").cloned());
    Some(base)
}

/// Paths that stand in the code: `crate::a::b()`, `super::a::B`.
fn in_code(code: &str, module: &[String]) -> Vec<Import> {
    let mut found = Vec::new();
    for begin in ["crate", "super"] {
        for at in words(code, begin).filter(|at| code[at + begin.len()..].starts_with("::")) {
            // `pub(in crate::a)` says who may see, and needs nothing.
            let before = code[..at].trim_end();
            if before.ends_with("::") || before.ends_with("(in") {
                continue;
            }
            let end = code[at..].find(|c: char| !is_name(c) && c != ':').map_or(code.len(), |n| at + n);
            let parts: Vec<String> = parts(&code[at..end]).collect();
            if let Some(path) = absolute(&parts, module, code) {
                let name = path.last().cloned().unwrap_or_default();
                found.push(Import { path, name, is_handed_on: false });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::imports;

    fn paths(code: &str) -> Vec<String> {
        let module = ["a".to_owned(), "b".to_owned()];
        let told = |import: &super::Import| {
            let mark = if import.is_handed_on { "+" } else { "" };
            format!("{mark}{}={}", import.path.join("::"), import.name)
        };
        imports(code, &module).iter().map(told).collect()
    }

    #[test]
    fn every_spelling_of_an_import_is_a_path_from_the_root() {
        for (code, wanted) in [
            ("use crate::x::Y;", &["x::Y=Y"][..]),
            ("use super::{c::{D, E as F}, g};", &["a::c::D=D", "a::c::E=F", "a::g=g"]),
            ("use super::super::z::*;", &["z=*"]),
            ("mod kid; pub(super) use kid::Kid;", &["+a::b::kid::Kid=Kid"]),
            ("pub use self::kid::{self, Kid};", &["+a::b::kid=kid", "+a::b::kid::Kid=Kid"]),
            ("fn f() { crate::x::y(); super::c::D }", &["x::y=y", "a::c::D=D"]),
            ("use std::sync::Arc; use backshift_core::Job;", &[]),
            ("pub(in crate::a) fn f() {}", &[]),
        ] {
            assert_eq!(paths(code), wanted, "{code}");
        }
    }
}
