//! Runs every check and prints every finding; one finding fails the run.

use std::path::Path;

use anyhow::{Result, bail};
use backshift_servers::programs::PROGRAMS;

use super::{
    adapters, arrows, boundary, budgets, circles, documents, domains, links, lockfile, names, programs,
    rules, tree, weight,
};
use crate::workspace;

/// Checks the checkout at `root`.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    if let Some(arg) = args.first() {
        bail!("tidy takes no arguments, not {arg:?}");
    }
    let sources = tree::rust_files(root)?;
    let pages = tree::markdown_files(root)?;
    let metadata =
        workspace::run(workspace::cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let known: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
    let mut found = arrows::check(&metadata)?;
    for source in &sources {
        found.extend(budgets::check(source));
        found.extend(boundary::check(source));
        found.extend(documents::check(root, source));
        found.extend(names::check(source));
        found.extend(programs::check(source, &known));
    }
    for (path, text) in tree::python_files(root)? {
        found.extend(programs::check_python(&path, &text, &known));
    }
    found.extend(lockfile::check(&std::fs::read_to_string(root.join("Cargo.lock"))?));
    found.extend(weight::check(root)?);
    found.extend(adapters::check(&sources));
    found.extend(circles::check(&sources));
    found.extend(domains::check(&sources));
    found.extend(rules::check(&pages, &sources));
    found.extend(links::check(root, &pages));
    for finding in &found {
        eprintln!("tidy: {finding}");
    }
    if !found.is_empty() {
        bail!("tidy: {} finding(s)", found.len());
    }
    println!("tidy: {} Rust files and {} pages are in order", sources.len(), pages.len());
    Ok(())
}
