//! What is taken from this machine: where its packages come from, and its Rust and Go. All of it is read here and now;
//! nothing of it is written into the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use backshift_servers::account::is_root;
use backshift_servers::mirror;

use crate::services::install;
use crate::workspace::{cargo, run, which};

/// What the servers, the browser and a build of everything take, with some room.
const SPACE_GB: u64 = 15;
/// The bootstrapper, and what makes the name spaces.
const TOOLS: &[(&str, &str)] =
    &[("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux"), ("setpriv", "util-linux"), ("git", "git")];

/// Fails with what is missing before anything is made.
pub(super) fn ready(checkout: &Path) -> Result<()> {
    if !is_root() {
        bail!("a fresh root needs mounts and packages: run this as root");
    }
    if which("apt-get").is_none() {
        bail!("the fresh root is made of this system's Debian packages, and this is no Debian");
    }
    let missing = TOOLS.iter().filter(|(program, _)| which(program).is_none()).map(|(_, package)| *package);
    install(&missing.collect())?;
    let free = run(Command::new("df").args(["--output=avail", "-BG", "--"]).arg(checkout))?;
    let free = free.lines().nth(1).map(|line| line.trim().trim_end_matches('G')).unwrap_or_default();
    if free.parse::<u64>().is_ok_and(|free| free < SPACE_GB) {
        bail!("{free} GB are free, a run in a fresh root may take {SPACE_GB}");
    }
    Ok(())
}

/// The release of this system: the root gets the same.
pub(super) fn suite() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release cannot be read")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    line.map(|name| name.trim_matches('"').to_owned()).context("this system does not name its release")
}

/// Apt's sources of the distribution itself (signing key and mirror with them), without those of other vendors.
pub(super) fn sources() -> Result<PathBuf> {
    mirror::debian().map(|(file, _)| file).context("no Debian mirror is configured under /etc/apt")
}

/// How apt reaches its mirror: proxies and certificates, as configuration lines.
pub(super) fn apt_configuration() -> Result<String> {
    let all = run(Command::new("apt-config").arg("dump"))?;
    Ok(ways(&all))
}

fn ways(dump: &str) -> String {
    let is_way = |line: &&str| {
        let name = line.split(' ').next().unwrap_or_default();
        name.starts_with("Acquire::")
            && ["Proxy", "CAInfo", "CaInfo", "Verify-Peer"].iter().any(|way| name.contains(way))
    };
    dump.lines().filter(is_way).map(|line| format!("{line}\n")).collect()
}

/// The directory of the toolchain that builds this checkout.
pub(super) fn rust(checkout: &Path) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let root = run(Command::new(rustc).current_dir(checkout).args(["--print", "sysroot"]))?;
    let root = PathBuf::from(root.trim());
    if root.join("bin/cargo").is_file() { Ok(root) } else { bail!("{} has no cargo", root.display()) }
}

/// The directory of Go, when there is one.
pub(super) fn go() -> Option<PathBuf> {
    let root = run(Command::new(which("go")?).args(["env", "GOROOT"])).ok()?;
    Some(PathBuf::from(root.trim())).filter(|root| root.join("bin/go").is_file())
}

/// Cargo's own configuration outside of the checkout: a mirror of the registry, say. Never its credentials.
pub(super) fn cargo_configuration() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    ["config.toml", "config"].map(|name| home.join(name)).into_iter().find(|file| file.is_file())
}

/// Settings of the environment without which the net is not reached.
pub(super) fn environment() -> Vec<(String, String)> {
    let wanted = |name: &str| {
        let lower = name.to_lowercase();
        ["http_proxy", "https_proxy", "no_proxy", "all_proxy", "goproxy", "gosumdb", "gonosumdb"]
            .contains(&lower.as_str())
            || (lower.starts_with("cargo_")
                && !lower.contains("token")
                && ["_http_", "_net_", "_registr"].iter().any(|part| lower.contains(part)))
    };
    std::env::vars().filter(|(name, _)| wanted(name)).collect()
}

/// A cargo that can be asked at all, before minutes go into the root.
pub(super) fn cargo_works(checkout: &Path) -> Result<()> {
    run(cargo(checkout).args(["--version"])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::ways;

    #[test]
    fn of_apts_configuration_only_the_ways_to_the_mirror_are_taken() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Retries \"3\";\n\
                    Acquire::https::CAInfo \"/etc/ssl/x.pem\";\nDPkg::Post-Invoke:: \"rm\";\n";
        let kept = ways(dump);
        assert_eq!(kept.lines().count(), 2, "{kept}");
        assert!(kept.contains("Proxy") && kept.contains("CAInfo"));
    }
}
