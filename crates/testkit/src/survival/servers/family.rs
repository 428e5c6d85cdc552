//! A process and all that it started: PostgreSQL's backends lead sessions of their own, so that a process group does
//! not hold them, and the data directory cannot be used again while one of them lives.

use std::{collections::HashMap, fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// The process and its descendants, parents first. Only of a process that we started and did not wait for yet.
pub(super) fn family(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all() {
        if let Some((_, parent)) = state_and_parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.get(pid).into_iter().flatten());
        next += 1;
    }
    found
}

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
    let alive = |pid: &u32| state_and_parent(*pid).is_some_and(|(state, _)| state != 'Z');
    wait::until(Duration::from_secs(10), || async { !pids.iter().any(alive) }).await
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// From `/proc/PID/stat`: the name in parentheses may hold anything, so that fields are counted from its end.
fn state_and_parent(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
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
