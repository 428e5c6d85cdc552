//! The fresh root: made by mmdebstrap from this machine's mirror, entered in name spaces of its own, removed at the end.
//!
//! The removal does not depend on us: a process that only waits for our end does it, also after a Ctrl-C or a kill.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::host;
use super::options::Options;
use crate::workspace::run;

/// Where the checkout lies in it: every account may enter.
const CHECKOUT: &str = "srv/backshift";
const PATH: &str =
    "/opt/rust/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs as the first process of the new name spaces: $1 root, $2 Rust, $3 Go or nothing, $4 cache or nothing, then the
/// command with its environment. What is bound can be read only, except for the cache.
const ENTER: &str = r#"
set -e
root=$1 rust=$2 go=$3 cache=$4; shift 4
bind() { mkdir -p "$root/$2"; mount --bind "$1" "$root/$2"; [ -n "$3" ] || mount -o remount,bind,ro "$root/$2"; }
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
bind "$rust" opt/rust
[ -z "$go" ] || bind "$go" usr/local/go
if [ -n "$cache" ]; then
  bind "$cache/target" srv/backshift/target rw
  bind "$cache/cargo" root/.cargo/registry rw
fi
exec chroot "$root" /usr/bin/env -i "$@"
"#;

/// A fresh root that is removed with its value, and at our end at the latest.
pub(super) struct Root {
    path: PathBuf,
    rust: PathBuf,
    janitor: Child,
}

impl Root {
    /// Makes it, with a clone of the commit.
    pub(super) fn build(checkout: &Path, commit: &str) -> Result<Self> {
        host::cargo_works(checkout)?;
        let (rust, sources) = (host::rust(checkout)?, host::sources()?);
        let path = checkout.join("target/bare").join(format!("root-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let root = Self { janitor: janitor(&path)?, rust, path };
        root.bootstrap(&sources)?;
        root.configure()?;
        root.clone_of(checkout, commit)?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A Debian without anything but apt, a C compiler and what HTTPS needs.
    fn bootstrap(&self, sources: &Path) -> Result<()> {
        // It mounts, too: a kill in the middle must leave nothing mounted.
        let mut command = apart();
        command.args([
            "mmdebstrap",
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--include=gcc,libc6-dev,ca-certificates",
        ]);
        for line in host::apt_configuration()?.lines() {
            command.arg(format!("--aptopt={line}"));
        }
        command.arg(host::suite()?).arg(&self.path).arg(sources);
        run(&mut command).map(drop).context("the fresh root could not be made")
    }

    /// Names, certificates and cargo's registry as this machine has them.
    fn configure(&self) -> Result<()> {
        for file in ["etc/resolv.conf", "etc/hosts"] {
            fs::copy(Path::new("/").join(file), self.path.join(file))
                .with_context(|| format!("/{file} cannot be copied"))?;
        }
        let own = Path::new("/usr/local/share/ca-certificates");
        if fs::read_dir(own).is_ok_and(|mut entries| entries.next().is_some()) {
            run(Command::new("cp")
                .arg("-rT")
                .arg(own)
                .arg(self.path.join("usr/local/share/ca-certificates")))?;
            run(Command::new("chroot").arg(&self.path).arg("update-ca-certificates"))?;
        }
        let home = self.path.join("root/.cargo");
        fs::create_dir_all(&home)?;
        if let Some(configuration) = host::cargo_configuration() {
            fs::copy(configuration, home.join("config.toml"))?;
        }
        Ok(())
    }

    fn clone_of(&self, checkout: &Path, commit: &str) -> Result<()> {
        let clone = self.path.join(CHECKOUT);
        run(Command::new("git")
            .args(["clone", "--quiet", "--no-hardlinks", "--no-checkout"])
            .arg(checkout)
            .arg(&clone))?;
        run(Command::new("git").arg("-C").arg(&clone).args(["checkout", "--quiet", "--detach", commit]))
            .map(drop)
    }

    /// Runs the command in it, to its end.
    pub(super) fn enter(&self, options: &Options) -> Result<ExitStatus> {
        let cache = match &options.cache {
            Some(cache) => cached(cache)?,
            None => PathBuf::new(),
        };
        let mut command = apart();
        command.args(["sh", "-c", ENTER, "sh"]);
        command.arg(&self.path).arg(&self.rust).arg(host::go().unwrap_or_default()).arg(cache);
        let path = format!("PATH={PATH}");
        command.args([path.as_str(), "HOME=/root", "LANG=C.UTF-8", "CARGO_HOME=/root/.cargo"]);
        command.args(host::environment().iter().map(|(name, value)| format!("{name}={value}")));
        // The shell stays the first process: it takes in the processes whose parents are gone.
        command.args(["bash", "-c", r#"cd "$1" && bash -c "$2"; exit $?"#, "bash"]);
        command.arg(Path::new("/").join(CHECKOUT)).arg(&options.command).stdin(Stdio::null());
        command.status().context("the fresh root could not be entered")
    }

    /// It stays, and is somebody else's to remove.
    pub(super) fn keep(&mut self) -> PathBuf {
        if let Some(stdin) = &mut self.janitor.stdin {
            let _ = stdin.write_all(b"keep\n");
        }
        self.path.clone()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // The end of its input is the sign; then wait, so that the directory is gone when we say that we are done.
        drop(self.janitor.stdin.take());
        if self.janitor.wait().is_ok_and(|status| !status.success()) {
            eprintln!("{} could not be removed", self.path.display());
        }
    }
}

/// A command in name spaces of its own. It ends with us; and with it, as their first process, everything that it started.
fn apart() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(["--propagation", "private", "--mount-proc", "--"]);
    command
}

/// Waits for our end in a session of its own and removes the root, unless it is told to keep it. The mounts are in
/// another name space: what is removed here are empty directories.
fn janitor(root: &Path) -> Result<Child> {
    // Twice: what is killed with us may write its last while the first removal runs.
    let script = r#"
        read -r word
        remove() { rm -rf --one-file-system -- "$1"; }
        [ "$word" = keep ] || remove "$1" 2>/dev/null || { sleep 1; remove "$1"; }"#;
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script, "sh"]).arg(root).stdin(Stdio::piped());
    command.spawn().context("nobody to remove the fresh root later")
}

/// The directories that are kept between runs.
fn cached(cache: &Path) -> Result<PathBuf> {
    for part in ["target", "cargo"] {
        fs::create_dir_all(cache.join(part))
            .with_context(|| format!("{} cannot be made", cache.display()))?;
    }
    cache.canonicalize().with_context(|| format!("{} cannot be entered", cache.display()))
}
