//! SQLite: an exclusively locked file beside the database; the kernel unlocks it when the process dies.
//!
//! A lock belongs to an open file, not to its path: after locking, the path must still lead to that file. So whoever
//! holds the lock may take the name away, and nobody is fooled by a file that has none any more.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use backshift_core::{StoreError, WorkerName, store::Liveness};

use super::taken;
use crate::sqlite::Sqlite;

/// Somebody who only asks holds a lock for a moment: how often it is tried again, and the pause between.
const TRIES: (u32, Duration) = (20, Duration::from_millis(20));

/// The locked file; unlocked and removed when dropped.
pub(super) struct LockFile {
    path: PathBuf,
    file: File,
    database: Sqlite,
}

impl Liveness for LockFile {
    /// Others must find the lock, and the database must be where they look for it.
    fn stands(&self) -> bool {
        is_still_there(&self.file, &self.path) && self.database.still_there().is_ok()
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Removed while still locked; a file that stays behind is free, which says the same.
        if is_still_there(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) async fn take(database: &Sqlite, worker: &WorkerName) -> Result<LockFile, StoreError> {
    database.still_there()?;
    let directory = directory_of(database);
    let path = path_in(&directory, worker);
    let unusable = |e: io::Error| {
        StoreError::Rejected(format!(
            "the lock file {} cannot be used: {e}; check its directory",
            path.display()
        ))
    };
    fs::create_dir_all(&directory).map_err(unusable)?;
    sweep(&directory);
    for _ in 0..TRIES.0 {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) if is_still_there(&file, &path) => {
                return Ok(LockFile { path, file, database: database.clone() });
            }
            Ok(()) | Err(TryLockError::WouldBlock) => tokio::time::sleep(TRIES.1).await,
            Err(TryLockError::Error(e)) => return Err(unusable(e)),
        }
    }
    Err(taken(worker))
}

/// Whether nobody holds it. What cannot be read counts as held: its leases decide.
pub(super) fn is_free(database: &Sqlite, worker: &WorkerName) -> bool {
    remove_if_free(&path_in(&directory_of(database), worker))
}

/// Removes the files of processes that were killed: nobody else would.
fn sweep(directory: &Path) {
    let found = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in found.filter(|path| path.extension().is_some_and(|ending| ending == "lock")) {
        remove_if_free(&path);
    }
}

/// Whether nobody holds this file, which is gone then. The name is taken away under the lock: whoever opened it before
/// finds, once he has the lock himself, that the path leads elsewhere, and begins again.
fn remove_if_free(path: &Path) -> bool {
    for _ in 0..TRIES.0 {
        let file = match OpenOptions::new().write(true).open(path) {
            Ok(file) => file,
            Err(e) => return e.kind() == io::ErrorKind::NotFound,
        };
        if file.try_lock().is_err() {
            return false;
        }
        if is_still_there(&file, path) {
            let _ = fs::remove_file(path);
            return true;
        }
        // Somebody removed this one meanwhile, and perhaps a new worker has made another.
    }
    false
}

/// Beside the database by the path that all its paths share.
fn directory_of(database: &Sqlite) -> PathBuf {
    let mut directory = database.canonical_path().as_os_str().to_owned();
    directory.push(".workers");
    PathBuf::from(directory)
}

fn path_in(directory: &Path, worker: &WorkerName) -> PathBuf {
    // A colon is no character for a file name everywhere.
    directory.join(format!("{}.lock", worker.as_str().replace(':', "%3A")))
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still_there(_: &File, path: &Path) -> bool {
    path.exists()
}
