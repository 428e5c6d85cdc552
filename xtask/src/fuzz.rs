//! `cargo xtask fuzz TARGET [--minutes N]`: one fuzzer of `fuzz/`, without a sanitizer, so that the stable toolchain
//! does (there is no `unsafe` of ours that one could watch). What it finds new goes below `fuzz/target`, never into
//! the committed corpus.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::cargo;

/// Runs the fuzzer `args[0]`, or says which there are.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let known = targets(root);
    let usage = || format!("usage: cargo xtask fuzz TARGET [--minutes N]; there are: {}", known.join(", "));
    let (name, minutes) = match args {
        [name] => (name, 10),
        [name, flag, number] if flag == "--minutes" => (name, number.parse::<u64>().with_context(usage)?),
        _ => bail!(usage()),
    };
    if !known.contains(name) {
        bail!("there is no fuzzer called {name:?}; there are: {}", known.join(", "));
    }
    let installed = cargo(root).args(["fuzz", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        bail!("cargo-fuzz is not installed: `cargo install cargo-fuzz`");
    }
    let grown = root.join("fuzz/target/corpus").join(name);
    fs::create_dir_all(&grown).with_context(|| format!("{} cannot be made", grown.display()))?;
    let mut command = cargo(root);
    command.args(["fuzz", "run", "--sanitizer", "none", name]);
    command.arg(grown).arg(root.join("fuzz/corpus").join(name)).arg("--");
    command.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command.arg(format!("-max_len={}", longest(name)));
    command.arg(format!("-dict={}", root.join(format!("fuzz/dictionaries/{name}.dict")).display()));
    command.arg(format!("-max_total_time={}", minutes * 60));
    let status = command.status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("{name} found something, see above ({status})") }
}

/// The longest input, in bytes: what the decoder is given at the most. The fuzzer begins with short ones by itself.
fn longest(name: &str) -> usize {
    match name {
        "email_data" | "envelope" => 16 << 20,
        "page" | "template" => 256 << 10,
        "configuration" | "smtp_reply" => 64 << 10,
        _ => 8 << 10,
    }
}

/// Programs in `fuzz/fuzz_targets`, by name.
fn targets(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("fuzz/fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    names
}
