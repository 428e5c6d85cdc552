//! `cargo xtask simulate`: many simulated worlds, one of them with its history, or the table of the planted bugs.
//!
//! Seeds run optimised; planted bugs only exist in a debug build, so their table is made by one.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::cargo;

/// Builds the program and hands the options on.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let planted = args.iter().any(|arg| arg == "--planted");
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--package", "backshift-testkit", "--features", "simulation"]);
    command.args(["--bin", "simulate"]);
    if !planted {
        command.args(["--profile", "bench"]);
    }
    command.arg("--").args(args);
    if planted && !args.iter().any(|arg| arg == "--seeds") {
        command.args(["--seeds", "100"]);
    }
    let status = command.status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("the simulation failed ({status})") }
}
