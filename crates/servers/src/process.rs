//! What the kernel says of processes. A pid alone names nobody: by the time it is used again it may belong to somebody
//! else, whom the start time tells apart.

use std::{collections::HashMap, fs};

/// One process, from `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `T` … `Z`.
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// The session that it belongs to.
    pub session: u32,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// The process `pid`, if there is one.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The text of such a file: the name in parentheses may hold anything, so fields are counted from the last one
    /// (proc(5): state is field 3).
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it still runs: one that ended and was not waited for does not.
    pub fn runs(&self) -> bool {
        self.state != 'Z'
    }
}

/// All there are.
pub fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A process, what it started, and what that started, parents first. Only of a process that we started and did not wait
/// for yet.
pub fn family(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in pids() {
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
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

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn reads_stat_lines_with_odd_names() {
        let line = "77 (a) b) S 1 77 70 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session, stat.started), ('S', 1, 70, 4242));
    }
}
