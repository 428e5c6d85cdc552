//! One `dev` a data directory: the second one is told who holds it and exits 75.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use crate::{exit::Failure, wiring::private};

/// Held while `dev` runs; the kernel lets go of it when the process ends, however it ends.
pub(super) struct DevLock(File);

impl DevLock {
    /// Takes the directory, or says who has it.
    pub(super) fn take(directory: &Path) -> Result<Self, Failure> {
        let problem = |error: std::io::Error| {
            Failure::configuration(format!("data_dir {}: {error}", directory.display()))
        };
        private::directory(directory)?;
        let mut file = private::open_or_make(&directory.join("dev.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder =
                    if holder.is_empty() { "another process that is starting" } else { holder.trim() };
                Err(Failure::again(format!(
                    "{} is in use by {holder}; stop that one, or set BACKSHIFT_DATA_DIR to another directory",
                    directory.display()
                )))
            }
            Err(TryLockError::Error(error)) => Err(problem(error)),
        }
    }

    /// Says who holds the directory, for the second one to tell.
    pub(super) fn sign(&mut self, url: &str) {
        let text = format!("pid {} at {url}\n", std::process::id());
        let written = self
            .0
            .set_len(0)
            .and_then(|()| self.0.seek(SeekFrom::Start(0)))
            .and_then(|_| self.0.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(%error, "the lock file could not be signed");
        }
    }
}
