//! Where servers keep their things. Everything is under `target/services`, except when the checkout lies in a
//! directory that other accounts may not enter (`/root`, say): servers that refuse to be root then live in `/var/tmp`.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use backshift_servers::account::{self, enterable};

/// The directories of the test servers of one checkout.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The workspace root.
    pub(crate) root: PathBuf,
    /// Records, `env.json` and the lock: always inside the checkout.
    base: PathBuf,
    /// Data directories and unpacked packages: must be reachable for the servers' accounts.
    open: PathBuf,
}

impl Place {
    /// Finds (and creates) the directories for the checkout at `root`.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let base = root.join("target/services");
        fs::create_dir_all(&base).with_context(|| format!("{} cannot be created", base.display()))?;
        let base = base.canonicalize()?;
        let open =
            if account::is_root() && !everyone_may_enter(&base) { outside(&base)? } else { base.clone() };
        for dir in [base.join("state"), open.join("run"), open.join("cache")] {
            enterable(&dir)?;
        }
        Ok(Self { root: root.to_path_buf(), base, open })
    }

    /// The private directory of one server.
    pub(crate) fn run_dir(&self, name: &str) -> PathBuf {
        self.open.join("run").join(name)
    }

    /// What is kept between starts (unpacked packages). Its files name it absolutely: do not move it.
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.open.join("cache")
    }

    /// The record of one server, written by us alone (the server's account cannot change it).
    pub(crate) fn record_file(&self, name: &str) -> PathBuf {
        self.base.join("state").join(format!("{name}.json"))
    }

    /// The variables of all running servers, as one JSON object.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.base.join("env.json")
    }

    /// Waits until no other `cargo xtask services` works on this checkout; free again when dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let file = File::create(self.base.join("lock"))?;
        file.lock().context("the lock of target/services cannot be taken")?;
        Ok(file)
    }
}

fn everyone_may_enter(dir: &Path) -> bool {
    dir.ancestors().all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

fn outside(base: &Path) -> Result<PathBuf> {
    let name: String =
        base.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let dir = PathBuf::from("/var/tmp").join(format!("backshift{name}"));
    enterable(&dir)?;
    Ok(dir)
}
