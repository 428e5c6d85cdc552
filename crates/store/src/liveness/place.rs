//! Where signs of life lie on SQLite: a directory and files for their owner alone, whatever the umask is.
//!
//! To read a lock file is enough to hold its lock, and whoever can delete one takes a worker's sign of life. So a place that
//! somebody else made, links to or can write is refused. A name is opened first and judged by what was opened: a link is
//! not followed, and nothing can be swapped between the look and the use.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use backshift_core::StoreError;
use rustix::{fs::OFlags, process::geteuid};

use crate::inode::Inode;

const ELSEWHERE: &str =
    "stop the workers of this database and remove it, or keep the database in a directory of your own";

/// The directory, made when it is not there, and closed to others.
pub(super) fn make_directory(path: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unusable(path, &error)),
        _ => {}
    }
    let (directory, found) =
        judged_directory(path)?.ok_or_else(|| unusable(path, &ErrorKind::NotFound.into()))?;
    close(path, &directory, &found, 0o700)
}

/// Whether it is there; one that is there must be ours, and nobody else's to change. Nothing is made or changed.
pub(super) fn look_at_directory(path: &Path) -> Result<bool, StoreError> {
    Ok(judged_directory(path)?.is_some())
}

fn judged_directory(path: &Path) -> Result<Option<(File, Metadata)>, StoreError> {
    let Some(directory) = open(path, OpenOptions::new().read(true), OFlags::DIRECTORY)? else {
        return Ok(None);
    };
    let found = directory.metadata().map_err(|error| unusable(path, &error))?;
    refuse_foreign(path, &found)?;
    if found.mode() & 0o022 != 0 {
        let mode = found.mode() & 0o7777;
        let (what, cure) = ("can be changed by others", format!("run chmod go= {}", path.display()));
        return Err(unfit(path, &format!("{what} (mode {mode:04o})"), &format!("{cure}, or {ELSEWHERE}")));
    }
    Ok(Some((directory, found)))
}

/// A lock file in a directory that was looked at, made when it is not there.
pub(super) fn make_file(path: &Path) -> Result<File, StoreError> {
    let made = open(path, OpenOptions::new().write(true).create(true).truncate(false), OFlags::NONBLOCK)?;
    judged(path, made.ok_or_else(|| unusable(path, &ErrorKind::NotFound.into()))?)
}

/// The same of one that may be missing.
pub(super) fn find_file(path: &Path) -> Result<Option<File>, StoreError> {
    let found = open(path, OpenOptions::new().write(true), OFlags::NONBLOCK)?;
    found.map(|file| judged(path, file)).transpose()
}

/// Whether the path still leads to this very file.
pub(super) fn is_still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(theirs)) => Inode::of(&ours) == Inode::of(&theirs),
        _ => false,
    }
}

fn judged(path: &Path, file: File) -> Result<File, StoreError> {
    let found = file.metadata().map_err(|error| unusable(path, &error))?;
    if !found.is_file() {
        return Err(unfit(path, "is no plain file", ELSEWHERE));
    }
    refuse_foreign(path, &found)?;
    close(path, &file, &found, 0o600)?;
    Ok(file)
}

/// `None` = there is nothing.
fn open(path: &Path, options: &mut OpenOptions, flags: OFlags) -> Result<Option<File>, StoreError> {
    let flags = OFlags::NOFOLLOW | flags;
    match options.mode(0o600).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => unfit(path, "is a link", ELSEWHERE),
            _ => unusable(path, &error),
        }),
    }
}

fn refuse_foreign(path: &Path, found: &Metadata) -> Result<(), StoreError> {
    let us = geteuid().as_raw();
    if found.uid() == us {
        return Ok(());
    }
    Err(unfit(path, &format!("belongs to another user (uid {}, we are {us})", found.uid()), ELSEWHERE))
}

/// What an earlier state or another umask left open.
fn close(path: &Path, file: &File, found: &Metadata, mode: u32) -> Result<(), StoreError> {
    if found.mode() & 0o777 == mode {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(|error| unusable(path, &error))
}

fn unfit(path: &Path, what: &str, remedy: &str) -> StoreError {
    StoreError::Unusable(format!("{} {what}: {remedy}", path.display()))
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Rejected(format!("the workers' signs of life need {}: {error}", path.display()))
}
