//! SQLite: an exclusively locked file beside the database; the kernel unlocks it when the process dies.
//!
//! A file that is there and free is a proof of death; one that is missing proves nothing, because somebody may have removed
//! it: then the leases decide. So the files of the dead stay until nothing runs in their name any more, and the next worker
//! that starts removes them. A lock belongs to an open file, not to its path: after locking, the path must still lead to
//! that file. So whoever holds the lock may take the name away, and nobody is fooled by a file that has none any more.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use backshift_core::{StoreError, WorkerName, store::Liveness};

use super::{
    place::{self, is_still_there},
    taken,
};
use crate::sqlite::Sqlite;

/// Somebody who only asks holds a lock for a moment: how often it is tried again, and the pause between.
const TRIES: (u32, Duration) = (20, Duration::from_millis(20));

/// The locked file; unlocked when dropped, which says that its worker is gone.
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

/// `holders`: in whose names something runs; `None` = nobody knows.
pub(super) async fn take(
    database: &Sqlite,
    worker: &WorkerName,
    holders: Option<&[WorkerName]>,
) -> Result<LockFile, StoreError> {
    database.still_there()?;
    let directory = directory_of(database);
    let path = path_in(&directory, worker);
    place::make_directory(&directory)?;
    if let Some(holders) = holders {
        sweep(&directory, holders);
    }
    for _ in 0..TRIES.0 {
        let file = place::make_file(&path)?;
        match file.try_lock() {
            Ok(()) if is_still_there(&file, &path) => {
                return Ok(LockFile { path, file, database: database.clone() });
            }
            Ok(()) | Err(TryLockError::WouldBlock) => tokio::time::sleep(TRIES.1).await,
            Err(TryLockError::Error(error)) => {
                let text = format!("the lock file {} cannot be locked: {error}", path.display());
                return Err(StoreError::Rejected(text));
            }
        }
    }
    Err(taken(worker))
}

/// Whether signs could be left here; nothing is made.
pub(super) fn look(database: &Sqlite) -> Result<(), StoreError> {
    place::look_at_directory(&directory_of(database)).map(drop)
}

/// Whether it is there and nobody holds it. What is missing or cannot be trusted counts as held: its leases decide.
pub(super) fn is_free(database: &Sqlite, worker: &WorkerName) -> bool {
    let directory = directory_of(database);
    place::look_at_directory(&directory).unwrap_or(false) && locked(&path_in(&directory, worker)).is_some()
}

/// Removes the files of processes that have ended and left nothing: nobody else would.
fn sweep(directory: &Path, holders: &[WorkerName]) {
    let kept: Vec<PathBuf> = holders.iter().map(|worker| path_in(directory, worker)).collect();
    let found = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let locks = found.filter(|path| path.extension().is_some_and(|ending| ending == "lock"));
    for path in locks.filter(|path| !kept.contains(path)) {
        // The name is taken away under the lock: whoever opened it before finds, once he has the lock himself, that the
        // path leads elsewhere, and begins again.
        if let Some(_lock) = locked(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The file behind this path, locked; `None` when there is none, somebody holds it, or it is not ours.
fn locked(path: &Path) -> Option<File> {
    for _ in 0..TRIES.0 {
        let file = place::find_file(path).ok()??;
        file.try_lock().ok()?;
        if is_still_there(&file, path) {
            return Some(file);
        }
        // Somebody removed this one meanwhile, and perhaps a new worker has made another.
    }
    None
}

/// Beside the database by the path that all its paths share.
fn directory_of(database: &Sqlite) -> PathBuf {
    let mut directory = database.canonical_path().as_os_str().to_owned();
    directory.push(".workers");
    PathBuf::from(directory)
}

fn path_in(directory: &Path, worker: &WorkerName) -> PathBuf {
    // A colon is not a character for a file name everywhere.
    directory.join(format!("{}.lock", worker.as_str().replace(':', "%3A")))
}
