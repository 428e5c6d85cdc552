//! Installs Debian packages without letting them start anything: `policy-rc.d` forbids it for the moment of the
//! installation, and is ours to remove only when nobody had put one there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use backshift_servers::account;
use backshift_servers::command::run;
use backshift_servers::programs::{self, which};

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
    if apt(packages).is_ok() {
        return Ok(());
    }
    // Lists that are missing or out of date are the usual reason.
    let lists = update();
    apt(packages).map_err(|error| error.context(explanation(packages, lists.err(), &offered(packages))))
}

/// Fetches the package lists; fails when any of them cannot be fetched, which alone is not a reason to give up.
fn update() -> Result<()> {
    let options = ["-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Update::Error-Mode=any", "update"];
    run(Command::new("apt-get").args(options)).map(drop)
}

/// Which of these packages the distribution has, as far as the lists of this machine know.
fn offered(packages: &BTreeSet<&str>) -> String {
    run(Command::new("apt-cache").args(["policy", "--"]).args(packages)).unwrap_or_default()
}

/// Why an installation failed, in words that name what to do. `policy` is what `apt-cache policy` printed.
fn explanation(packages: &BTreeSet<&str>, lists: Option<anyhow::Error>, policy: &str) -> String {
    let unknown: Vec<String> = packages
        .iter()
        .filter(|name| !has_candidate(policy, name))
        .map(|name| match programs::brought_by(name).join(", ") {
            wanted if wanted.is_empty() => (*name).to_owned(),
            wanted => format!("{name} (for {wanted})"),
        })
        .collect();
    let list = packages.iter().copied().collect::<Vec<_>>().join(" ");
    match (lists, unknown.is_empty()) {
        (Some(error), _) => {
            format!(
                "not installed: {list}. The package lists cannot be fetched: is there a network?\n{error:#}"
            )
        }
        (None, false) => format!("this distribution has no package {}", unknown.join(", ")),
        (None, true) => format!("not installed: {list}"),
    }
}

/// `apt-cache policy` prints a name and a colon, and below it what could be installed; nothing for an unknown name.
fn has_candidate(policy: &str, name: &str) -> bool {
    let mut lines = policy.lines().skip_while(|line| line.strip_suffix(':') != Some(name)).skip(1);
    let candidate = lines.find_map(|line| line.trim().strip_prefix("Candidate: "));
    candidate.is_some_and(|version| version != "(none)")
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{explanation, has_candidate};

    const POLICY: &str = "chromium:\n  Installed: (none)\n  Candidate: 150.0-1\n  Version table:\n     150.0-1 500\n\
                          python3-pika:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";

    #[test]
    fn what_the_distribution_has_is_read_from_its_policy() {
        assert!(has_candidate(POLICY, "chromium"));
        assert!(!has_candidate(POLICY, "python3-pika"));
        assert!(!has_candidate(POLICY, "chrom") && !has_candidate("", "chromium"));
    }

    #[test]
    fn a_failed_installation_says_why() {
        let wanted = BTreeSet::from(["chromium", "python3-pika"]);
        let missing = explanation(&wanted, None, POLICY);
        assert_eq!(missing, "this distribution has no package python3-pika (for python3:pika)");
        let offline = explanation(&wanted, Some(anyhow::anyhow!("Could not resolve")), POLICY);
        assert!(offline.contains("chromium python3-pika") && offline.contains("network"), "{offline}");
    }
}
