//! `cargo xtask siege`: builds the binary and the besiegers with optimisation and lets them at each other, on loopback.
//!
//! The server is one of its own on an embedded store; neither test servers nor anybody else's are touched.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{
    survival::{PROFILE, target},
    workspace::cargo,
};

/// Runs the siege with these arguments.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let build =
        ["build", "--profile", PROFILE, "--package", "backshift-cli", "--package", "backshift-testkit"];
    let status = cargo(root).args(build).args(["--bin", "backshift", "--bin", "siege"]).status();
    let status = status.context("cargo could not be started")?;
    if !status.success() {
        bail!("the binary could not be built ({status})");
    }
    let programs = target(root)?.join("release");
    let mut command = std::process::Command::new(programs.join("siege"));
    command.arg("--binary").arg(programs.join("backshift")).args(args).current_dir(root);
    let status = command.status().context("the siege could not be started")?;
    if status.success() {
        Ok(())
    } else {
        bail!("somebody honest was kept out or waited too long ({status})")
    }
}
