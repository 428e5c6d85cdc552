//! Sets of features that no build of the workspace has: together its members want nearly everything. Each set must compile by
//! itself, without a warning, because a user chooses his own.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::cargo;

/// Package and features; the defaults are left out.
const SETS: &[(&str, &str)] = &[
    ("backshift", "embedded"),
    ("backshift", "postgres"),
    // Neither database: what an adapter of somebody else's store is built on.
    ("backshift-brokers", ""),
    ("backshift-domains", "demo,probe"),
    ("backshift-domains", "mail"),
];

/// Checks every set; the first that does not compile ends it.
pub(crate) fn check(root: &Path) -> Result<()> {
    for (package, features) in SETS {
        let mut check = cargo(root);
        // Clippy and not `check`: it denies warnings without building every dependency anew.
        check.args(["clippy", "--quiet", "--no-default-features", "--package", package]);
        check.args(["--features", features, "--", "--deny", "warnings"]);
        let status = check.status().context("cargo could not be started")?;
        if !status.success() {
            bail!("{package} with the features {features:?} alone does not compile");
        }
    }
    Ok(())
}
