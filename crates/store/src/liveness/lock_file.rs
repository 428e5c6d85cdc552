//! SQLite: an exclusively locked file beside the database; the kernel unlocks it when the process dies.
//!
//! A lock belongs to an open file, not to its path: after locking, the path must still lead to that file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use backshift_core::{StoreError, WorkerName, store::Liveness};

use super::taken;

/// The locked file; unlocked and removed when dropped.
pub(super) struct LockFile {
    path: PathBuf,
    _file: File,
}

impl Liveness for LockFile {
    fn stands(&self) -> bool {
        true
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Removed while still locked; a file that stays behind is free, which says the same.
        let _ = fs::remove_file(&self.path);
    }
}

pub(super) async fn take(database: &Path, worker: &WorkerName) -> Result<LockFile, StoreError> {
    let path = path_of(database, worker);
    let unusable = |e: io::Error| {
        StoreError::Rejected(format!(
            "the lock file {} cannot be used: {e}; check its directory",
            path.display()
        ))
    };
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(unusable)?;
    }
    // Somebody who only asks holds the lock for a moment.
    for _ in 0..20 {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) if is_still_there(&file, &path) => return Ok(LockFile { path, _file: file }),
            Ok(()) | Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(TryLockError::Error(e)) => return Err(unusable(e)),
        }
    }
    Err(taken(worker))
}

/// Whether nobody holds it. What cannot be read counts as held: its leases decide.
pub(super) fn is_free(database: &Path, worker: &WorkerName) -> bool {
    match OpenOptions::new().write(true).open(path_of(database, worker)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

fn path_of(database: &Path, worker: &WorkerName) -> PathBuf {
    let mut directory = database.as_os_str().to_owned();
    directory.push(".workers");
    // A colon is no character for a file name everywhere.
    PathBuf::from(directory).join(format!("{}.lock", worker.as_str().replace(':', "%3A")))
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
