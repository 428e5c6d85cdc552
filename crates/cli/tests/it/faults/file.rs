//! The SQLite file: locked by another process, on a full disk, on a file system that became read-only.
//!
//! Full and read-only are real: the file lies on a small file system of its own that is mounted for the test. Mounting one needs root; without,
//! these tests say so and pass (the store's own tests limit the file by a pragma instead).

use std::{path::Path, process::Command};

use backshift_testkit::wait;

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place, Worker, stretched_ms};

const QUEUE: &str = "file";

async fn under_way(place: &Place) -> (Load, Worker) {
    let load = Load::accepted(place, QUEUE, 40, "sleep", stretched_ms(150)).await;
    let worker = place.worker(&format!("{QUEUE}:4")).await;
    load.wait_effects(place, 4, &worker).await;
    (load, worker)
}

async fn met(worker: &Worker, words: &[&str]) {
    let met = wait::until(PATIENCE, || async { words.iter().any(|word| worker.output().contains(word)) });
    assert!(met.await, "the worker met none of {words:?}\n{}", worker.output());
}

async fn done(place: &Place, load: Load, worker: Worker) {
    load.settles(place, &worker).await;
    assert_eq!(worker.drained().await, Some(0));
    nothing_left(place, QUEUE).await;
}

/// A backup that takes its time.
async fn locked(place: Place) {
    let (load, worker) = under_way(&place).await;
    let other = rusqlite::Connection::open(place.file()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    met(&worker, &["locked by another process"]).await;
    other.execute_batch("COMMIT").unwrap();
    done(&place, load, worker).await;
}

/// A file system of a few megabytes, unmounted with its value.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        match mount(&["-t", "tmpfs", "-o", "size=8m", "backshift-test"], at) {
            Ok(()) => Some(Self(at)),
            Err(reason) => {
                eprintln!("skipped: a file system of its own cannot be mounted here: {reason}");
                None
            }
        }
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        for size in [64 * 1024, 4096, 512, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.0.join("ballast")
    }

    fn switch(&self, mode: &str) {
        mount(&["-o", &format!("remount,{mode}"), "backshift-test"], self.0).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new("mount").args(arguments).arg(at).output().map_err(|error| error.to_string())?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn full(place: Place) {
    let at = place.directory.path().to_owned();
    let Some(disk) = SmallDisk::mount(&at) else { return };
    let (load, worker) = under_way(&place).await;
    disk.fill();
    met(&worker, &["disk of the database file is full", "the disk failed"]).await;
    disk.free();
    done(&place, load, worker).await;
}

/// The kernel does this to a disk that fails. A file that is open keeps the file system from it, so that here the
/// worker meets it at its next start.
async fn read_only(place: Place) {
    let at = place.directory.path().to_owned();
    let Some(disk) = SmallDisk::mount(&at) else { return };
    let (load, worker) = under_way(&place).await;
    worker.process.kill().await;
    disk.switch("ro");
    let mut refused = place.start(&format!("{QUEUE}:4"));
    let ended = refused.process.ended(PATIENCE).await.and_then(|status| status.code());
    assert_eq!(ended, Some(78), "{}", refused.output());
    met(&refused, &["cannot be written", "Read-only file system"]).await;
    disk.switch("rw");
    let heir = place.worker(&format!("{QUEUE}:4")).await;
    done(&place, load, heir).await;
}

/// Two tests of each: the file as the broker, and as the ledger of RabbitMQ.
macro_rules! on_both {
    ($($name:ident: $fault:path;)+) => {
        mod as_the_broker {
            $(#[tokio::test]
            async fn $name() {
                $fault(super::Place::embedded()).await;
            })+
        }
        mod as_the_ledger {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = super::Place::rabbitmq_with_a_file().await else { return };
                $fault(place).await;
            })+
        }
    };
}

on_both! {
    a_locked_file_burns_no_attempt: super::locked;
    a_full_disk_burns_no_attempt: super::full;
    a_read_only_file_system_burns_no_attempt: super::read_only;
}
