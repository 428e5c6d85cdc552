//! The system account that a server runs under. PostgreSQL and PgBouncer refuse root, so root switches; an ordinary
//! user runs everything as itself.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// User and group ids to run as.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    uid: u32,
    gid: u32,
}

/// Whether this process is root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

impl Account {
    /// The account called `name` when we are root, else `None` (stay who we are).
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
        parse(&passwd, name).map(Some).with_context(|| format!("this machine has no account called {name}"))
    }

    /// Makes `command` run as this account, without supplementary groups.
    pub fn apply(account: Option<Self>, command: &mut Command) {
        if let Some(Self { uid, gid }) = account {
            command.uid(uid).gid(gid);
        }
    }

    /// Creates a private directory that belongs to this account.
    ///
    /// # Errors
    /// It cannot be made or given away.
    pub fn own_dir(account: Option<Self>, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        Self::own(account, dir)
    }

    /// Writes a file that belongs to this account.
    ///
    /// # Errors
    /// It cannot be written or given away.
    pub fn write(account: Option<Self>, file: &Path, text: &str) -> Result<()> {
        fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        Self::own(account, file)
    }

    fn own(account: Option<Self>, path: &Path) -> Result<()> {
        if let Some(Self { uid, gid }) = account {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("{} cannot be given away", path.display()))?;
        }
        Ok(())
    }
}

/// Creates a directory that every account may enter, whatever our umask says.
///
/// # Errors
/// It cannot be made.
pub fn enterable(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("{} cannot be created", dir.display()))
}

fn parse(passwd: &str, name: &str) -> Option<Account> {
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
    Some(Account { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn finds_the_named_account_only() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PG,,,:/var/lib/postgresql:/bin/bash\n";
        let found = parse(passwd, "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (101, 104));
        assert!(parse(passwd, "post").is_none());
    }
}
