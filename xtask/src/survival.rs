//! `cargo xtask survive …`: builds the binary and the fault runner with optimisation and lets the runner run.
//!
//! The runner starts and kills servers of its own; the shared ones of `cargo xtask services` are not needed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{survival_mails, workspace::cargo};

/// As optimised as a release, without the minutes of link-time optimisation.
pub(crate) const PROFILE: &str = "bench";

/// Runs the fault runner with these arguments.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "mails") {
        return survival_mails::run(root, rest, &target(root)?);
    }
    let build =
        ["build", "--profile", PROFILE, "--package", "backshift-cli", "--package", "backshift-testkit"];
    let status = cargo(root).args(build).args(["--bin", "backshift", "--bin", "survive"]).status();
    let status = status.context("cargo could not be started")?;
    if !status.success() {
        bail!("the binary could not be built ({status})");
    }
    let programs = target(root)?.join("release");
    let (recovery, rest) = match args.split_first() {
        Some((first, rest)) if first == "recovery" => (Some(first), rest),
        _ => (None, args),
    };
    let mut command = std::process::Command::new(programs.join("survive"));
    command.args(recovery).arg("--binary").arg(programs.join("backshift")).args(rest).current_dir(root);
    let status = command.status().context("the fault runner could not be started")?;
    if status.success() { Ok(()) } else { bail!("a promise or a goal was missed ({status})") }
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    let output = cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    let directory = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(PathBuf::from(directory))
}
