//! A process and all that it started: PostgreSQL's backends lead sessions of their own, so that a process group does
//! not hold them, and the data directory cannot be used again while one of them lives.

use std::time::Duration;

use backshift_servers::process::{Stat, family};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Sends a signal to each of them; one that is gone is not an error.
pub(super) fn signal(pids: &[u32], signal: Signal) {
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
}

/// Stops the whole family first, so that nobody starts another one, and then kills it.
pub(super) fn kill(root: u32) -> Vec<u32> {
    signal(&[root], Signal::STOP);
    let pids = family(root);
    signal(&pids, Signal::STOP);
    let pids = family(root);
    signal(&pids, Signal::KILL);
    pids
}

/// Waits until none of them runs; `false` = one still does.
pub(super) async fn gone(pids: &[u32]) -> bool {
    let alive = |pid: &u32| Stat::read(*pid).is_some_and(|stat| stat.runs());
    wait::until(Duration::from_secs(10), || async { !pids.iter().any(alive) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_family_is_found_and_killed_whole() {
        let mut shell = tokio::process::Command::new("sh");
        let mut root = shell.args(["-c", "sleep 60 & setsid sleep 60 & wait"]).spawn().unwrap();
        let pid = root.id().unwrap();
        assert!(wait::until(wait::PATIENCE, || async { family(pid).len() == 3 }).await, "{:?}", family(pid));
        let pids = kill(pid);
        assert_eq!(pids.len(), 3);
        root.wait().await.unwrap();
        assert!(gone(&pids).await);
    }
}
