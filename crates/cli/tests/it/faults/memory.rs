//! The kernel kills a worker that needs too much memory: its jobs come back, and no attempt counts.
//!
//! The worker is moved into a memory group that allows it a few megabytes more. That needs root and the memory
//! controller; without, the test says so and passes. What a job comes to that does it again and again is
//! `a_job_that_always_crashes_is_dead_in_the_end_and_its_neighbours_are_not`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use backshift_testkit::{process::Running, servers::unique_name};

use super::{Load, nothing_left};
use crate::scene::{PATIENCE, Place};

const QUEUE: &str = "memory";
const ALLOWED: &str = "4194304";

/// A group of processes that may take so much memory from now on; removed with its value.
struct Cage(PathBuf);

impl Cage {
    fn build() -> Option<Self> {
        let roots = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        let built = roots.iter().map(|(root, limit)| Self::below(Path::new(root), limit));
        let built: Vec<io::Result<Self>> = built.collect();
        let reasons: Vec<String> =
            built.iter().filter_map(|one| Some(one.as_ref().err()?.to_string())).collect();
        let found = built.into_iter().find_map(Result::ok);
        if found.is_none() {
            eprintln!("skipped: no memory group can be made here: {}", reasons.join(", "));
        }
        found
    }

    fn below(root: &Path, limit: &str) -> io::Result<Self> {
        let cage = Self(root.join(unique_name("backshift")));
        fs::create_dir(&cage.0)?;
        // Of the second generation: the root must hand the controller down; it mostly does already.
        let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        fs::write(cage.0.join(limit), ALLOWED)?;
        Ok(cage)
    }

    fn lock_up(&self, process: &Running) {
        fs::write(self.0.join("cgroup.procs"), process.pid().to_string()).unwrap();
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

async fn killed_by_the_kernel(place: Place) {
    let Some(cage) = Cage::build() else { return };
    place.migrate().await;
    let mut doomed = place.worker(&format!("{QUEUE}:16")).await;
    cage.lock_up(&doomed.process);
    let keys = (0..48).map(|n| format!("{n} {}", "x".repeat(200_000))).collect();
    let load = Load::of(&place, QUEUE, keys, ("sleep", 300, 0)).await;
    let ended = doomed.process.ended(PATIENCE).await;
    let ended = ended.unwrap_or_else(|| panic!("it needs no memory\n{}", doomed.output()));
    assert_eq!(ended.code(), None, "by a signal\n{}", doomed.output());
    let heir = place.worker(&format!("{QUEUE}:16")).await;
    load.settles(&place, &heir).await;
    assert_eq!(heir.drained().await, Some(0));
    nothing_left(&place, QUEUE).await;
}

#[tokio::test]
async fn a_worker_that_the_kernel_kills_on_the_embedded_broker() {
    killed_by_the_kernel(Place::embedded()).await;
}

#[tokio::test]
async fn a_worker_that_the_kernel_kills_on_postgres() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    killed_by_the_kernel(place).await;
}

#[tokio::test]
async fn a_worker_that_the_kernel_kills_on_rabbitmq() {
    let Some(place) = Place::rabbitmq().await else {
        return;
    };
    killed_by_the_kernel(place).await;
}
