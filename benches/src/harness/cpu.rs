//! Processor time of this process and of the servers it talks to, from `/proc`.
//!
//! A server is a process *tree*: PostgreSQL's work is done in children, and those that ended are in the root's sum.

use std::{collections::HashSet, fs};

/// A local server process, found by the port that it listens on; a remote one has no processor time here.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pid: Option<u32>,
}

impl Server {
    /// The process that listens on this TCP port of this machine.
    pub(crate) fn listening_on(port: u16) -> Self {
        Self { pid: socket_of(port).and_then(|socket| owner_of(&socket)) }
    }

    /// The process of this id.
    pub(crate) fn process(pid: u32) -> Self {
        Self { pid: Some(pid) }
    }

    /// No server: everything happens in this process.
    pub(crate) fn none() -> Self {
        Self { pid: None }
    }

    /// Seconds of processor time that the tree has used so far.
    pub(crate) fn seconds(self) -> Option<f64> {
        let pid = self.pid?;
        let root = ticks(pid)?;
        let mut sum = root.own + root.ended_children;
        let mut left = children(pid);
        let mut seen = HashSet::new();
        while let Some(child) = left.pop() {
            if seen.insert(child) {
                sum += ticks(child).map_or(0, |ticks| ticks.own);
                left.extend(children(child));
            }
        }
        Some(sum as f64 / TICKS_PER_SECOND)
    }
}

/// Seconds of processor time of this process, with the children that it has waited for.
pub(crate) fn own_seconds() -> f64 {
    ticks(std::process::id())
        .map_or(0.0, |ticks| (ticks.own + ticks.ended_children) as f64 / TICKS_PER_SECOND)
}

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

struct Ticks {
    own: u64,
    ended_children: u64,
}

fn ticks(pid: u32) -> Option<Ticks> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, field 2, may hold spaces: fields are counted from its closing parenthesis.
    let fields: Vec<u64> =
        stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let at = |field: usize| fields.get(field - 3).copied().unwrap_or(0);
    Some(Ticks { own: at(14) + at(15), ended_children: at(16) + at(17) })
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The inode of the listening socket, as in `/proc/net/tcp`.
fn socket_of(port: u16) -> Option<String> {
    let listening = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let here = fields.get(1)?.ends_with(&listening) && *fields.get(3)? == "0A";
            here.then(|| format!("socket:[{}]", fields[9]))
        })
    })
}

/// The oldest process that holds this socket: a server's children inherit it.
fn owner_of(socket: &str) -> Option<u32> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids.into_iter().find(|pid| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.as_os_str() == socket)
    })
}
