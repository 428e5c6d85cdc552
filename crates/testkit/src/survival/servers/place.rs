//! Where a private server lives: a directory of its own that its account owns.
//!
//! PostgreSQL refuses root: as root, each server runs under the account that its package made.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::process::Command;
use uuid::Uuid;

/// User and group to run as; `None` = who we are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    /// The account called `name` when we are root.
    pub(super) fn named(name: &str) -> io::Result<Self> {
        if fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(Self(None));
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let ids = lines
            .find(|fields| fields[0] == name)
            .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)));
        let missing = || io::Error::other(format!("this machine has no account called {name}"));
        ids.map(|ids| Self(Some(ids))).ok_or_else(missing)
    }

    /// Makes a command run as this account.
    pub(super) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
    }

    /// Makes a private directory.
    pub(super) fn directory(self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        self.own(path)
    }

    /// Writes a file that the account may read.
    pub(super) fn write(self, path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, text)?;
        self.own(path)
    }

    fn own(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}

/// A directory that is removed with its value.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) account: Account,
    pub(super) directory: PathBuf,
}

impl Place {
    /// A new one below the system's temporary directory, which every account may enter.
    pub(super) fn new(what: &str, account: &str) -> io::Result<Self> {
        let account = Account::named(account)?;
        let directory = std::env::temp_dir().join(format!("backshift-{what}-{}", Uuid::now_v7().simple()));
        account.directory(&directory)?;
        Ok(Self { account, directory })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("{} stays behind: {error}", self.directory.display());
        }
    }
}
