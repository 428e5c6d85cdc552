//! `cargo xtask bench NAME`: runs one program of `benches/` in release mode. Numbers of another build mean nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::cargo;

/// Runs the benchmark `args[0]` with the remaining arguments, or says which there are.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let rows = rows(root);
    let known = if rows.is_empty() { "none yet".to_owned() } else { rows.join(", ") };
    let Some((name, rest)) = args.split_first() else {
        bail!("usage: cargo xtask bench NAME; there are: {known}")
    };
    if !rows.contains(name) {
        bail!("there is no benchmark called {name:?}; there are: {known}");
    }
    let mut command = cargo(root);
    command.args(["run", "--release", "--package", "backshift-benches", "--bin", name, "--"]).args(rest);
    let status = command.status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("benchmark {name} failed ({status})") }
}

/// Programs in `benches/src/bin`, by name.
fn rows(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("benches/src/bin")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}
