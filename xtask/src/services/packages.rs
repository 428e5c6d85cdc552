//! Installs Debian packages without letting them start anything: `policy-rc.d` forbids it for the moment of the
//! installation, and is ours to remove only when nobody had put one there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::account;
use crate::workspace::{run, which};

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing; does nothing for an empty set.
pub(crate) fn install(packages: &BTreeSet<&str>) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.iter().copied().collect::<Vec<_>>().join(" ");
    if which("apt-get").is_none() {
        bail!("not installed: {list}. Install them, or start Docker and run this again");
    }
    if !account::is_root() {
        bail!("not installed: {list}. Run: sudo apt-get install --no-install-recommends {list}");
    }
    eprintln!("installing {list}");
    let _no_autostart = Policy::forbid()?;
    if apt(packages).is_err() {
        // Lists that are missing or out of date are the usual reason.
        run(Command::new("apt-get").args(["-qq", "-o", "DPkg::Lock::Timeout=300", "update"]))?;
        apt(packages)?;
    }
    Ok(())
}

/// Installs a browser for the tests of the pages when there is none.
pub(crate) fn browser() -> Result<()> {
    let there = ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| which(name).is_some());
    if there { Ok(()) } else { install(&BTreeSet::from(["chromium"])) }
}

fn apt(packages: &BTreeSet<&str>) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"]);
    run(command.args(packages)).map(drop)
}

/// Forbids package scripts to start servers until it is dropped.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("{POLICY} cannot be written"))?;
        let policy = Self { ours: true };
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("{POLICY} could not be removed: {error}");
        }
    }
}
