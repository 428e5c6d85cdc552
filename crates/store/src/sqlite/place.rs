//! One database file, by whatever path it is reached: its canonical path, and device and inode of what was opened.
//!
//! SQLite keeps its log beside the name that it opened. Names that lead to one file from two directories would write two
//! logs and destroy it, so such a file is refused; what moves away while it is open is not written any more.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use backshift_core::StoreError;

use crate::inode::Inode;

/// What was opened, and where.
#[derive(Debug)]
pub(crate) struct FilePlace {
    /// As it was given: what must still lead to the file.
    given: PathBuf,
    /// The same for every path through links and relative parts.
    canonical: PathBuf,
    inode: Option<Inode>,
}

impl FilePlace {
    /// Looks before SQLite opens or makes the file.
    pub(super) fn approach(path: &Path, make: bool) -> Result<(), StoreError> {
        match fs::metadata(path) {
            Ok(_) => refuse_second_names(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !make {
                    return Err(unusable(
                        path,
                        "there is no database file here; `backshift dev` or `backshift migrate up` makes one, and a Rust program \
                         with `Options::create`",
                    ));
                }
                refuse_orphaned_log(path)
            }
            // SQLite says what is wrong with it.
            Err(_) => Ok(()),
        }
    }

    /// Remembers what SQLite has opened.
    pub(super) fn opened(path: &Path) -> Self {
        let canonical = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self {
            given: path.to_owned(),
            canonical,
            inode: fs::metadata(path).ok().map(|found| Inode::of(&found)),
        }
    }

    /// The path that all paths to the file share.
    pub(crate) fn canonical(&self) -> &Path {
        &self.canonical
    }

    /// Whether the path still leads to the file that is open; the error says what to do.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Some(opened) = self.inode else { return Ok(()) };
        let now = match fs::metadata(&self.given) {
            Ok(found) => Some(Inode::of(&found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            // A path that cannot be read just now proves nothing: the file may well be there.
            Err(_) => return Ok(()),
        };
        if now == Some(opened) {
            return Ok(());
        }
        let what = if now.is_some() { "replaced by another file" } else { "moved or deleted" };
        Err(StoreError::Unavailable(format!(
            "{}: the database file was {what} while it is in use, so nothing more is accepted. Put it back, or stop every \
             process that uses it and start again",
            self.given.display()
        )))
    }
}

fn unusable(path: &Path, why: &str) -> StoreError {
    StoreError::Unusable(format!("{}: {why}", path.display()))
}

/// A second hard link, or a mount on the file alone: another process may have opened it from another directory.
fn refuse_second_names(path: &Path) -> Result<(), StoreError> {
    if fs::metadata(path).is_ok_and(|found| found.is_file() && found.nlink() > 1) {
        return Err(unusable(
            path,
            "the database file has more than one name (hard links), and SQLite keeps its log beside each: remove the \
             other names, or make a copy (cp --reflink=auto)",
        ));
    }
    let canonical = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if is_mounted(&canonical, &mounts) {
        return Err(unusable(
            path,
            "the database file is a mount of its own, and SQLite's log beside it would not be shared: mount its directory",
        ));
    }
    Ok(())
}

/// Whether a mount stands on exactly this path. The kernel writes odd characters as octal escapes.
fn is_mounted(path: &Path, mounts: &str) -> bool {
    let Some(path) = path.to_str() else { return false };
    let written: String = path
        .chars()
        .map(|c| if matches!(c, ' ' | '\t' | '\n' | '\\') { format!("\\{:03o}", c as u32) } else { c.into() })
        .collect();
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(written.as_str()))
}

/// A log without its database: the file was taken away, probably under a running process. A new, empty one would hide
/// that, and what the log holds would be gone.
fn refuse_orphaned_log(path: &Path) -> Result<(), StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(unusable(
            path,
            &format!(
                "the database file is not here and its log {} is: it was moved or deleted under a running process. Put it \
                 back, or remove the log to begin anew",
                Path::new(&log).display()
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_on_the_file_alone_is_recognised() {
        let mounts = "36 35 98:0 /a /srv/data rw - ext4 /dev/sda1 rw\n37 35 98:0 /b /srv/my\\040jobs.db rw - ext4 x rw\n";
        assert!(is_mounted(Path::new("/srv/my jobs.db"), mounts));
        assert!(!is_mounted(Path::new("/srv/data/jobs.db"), mounts));
        assert!(!is_mounted(Path::new("/srv/my"), mounts));
    }
}
