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
            Ok(()) => {
                let mut lock = Self(file);
                // What stands there is about a process that is gone.
                lock.write("");
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(Failure::again(format!(
                "{} is in use by {}; stop that one, or set BACKSHIFT_DATA_DIR to another directory",
                directory.display(),
                holder(&mut file)
            ))),
            Err(TryLockError::Error(error)) => Err(problem(error)),
        }
    }

    /// Says who holds the directory, for the second one to tell.
    pub(super) fn sign(&mut self, url: &str) {
        self.write(&format!("pid {} at {url}\n", std::process::id()));
    }

    fn write(&mut self, text: &str) {
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

/// Who signed the lock; whoever holds it may not have come to that yet, and what stands there then is a predecessor's.
fn holder(file: &mut File) -> String {
    const STARTING: &str = "another process that is starting";
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    let signed = text.strip_prefix("pid ").and_then(|rest| rest.split_once(' '));
    match (read, signed) {
        (Ok(_), Some((pid, _))) if pid.bytes().all(|b| b.is_ascii_digit()) && lives(pid) => {
            text.trim().to_owned()
        }
        _ => STARTING.to_owned(),
    }
}

/// Whether there is such a process; where nobody can tell, the signature counts.
fn lives(pid: &str) -> bool {
    !Path::new("/proc/self").exists() || Path::new("/proc").join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(directory: &Path) -> String {
        DevLock::take(directory).err().map(|failure| failure.to_string()).unwrap()
    }

    #[test]
    fn the_second_one_is_told_the_holder_or_that_it_is_starting_and_never_a_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dev.lock");
        // A predecessor that was killed: its signature stays, and its process is gone.
        std::fs::write(&file, "pid 4194304 at http://127.0.0.1:1\n").unwrap();
        let mut lock = DevLock::take(directory.path()).unwrap();
        assert!(refused(directory.path()).contains("another process that is starting"));
        lock.sign("http://127.0.0.1:8080");
        let text = refused(directory.path());
        assert!(text.contains(&format!("pid {} at http://127.0.0.1:8080", std::process::id())), "{text}");
        // Between lock and signature a predecessor's may stand there still.
        for other in
            ["pid 4194304 at http://127.0.0.1:1\n", "\u{1b}[2J", "", "pid x at y", "pid ../self at y"]
        {
            std::fs::write(&file, other).unwrap();
            assert!(refused(directory.path()).contains("another process that is starting"), "{other:?}");
        }
        // One directory by another path is the same directory.
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(directory.path().parent().unwrap(), &link).unwrap();
        let same = link.join(directory.path().file_name().unwrap());
        assert!(refused(&same).contains("is in use by"));
        drop(lock);
        DevLock::take(directory.path()).unwrap();
    }
}
