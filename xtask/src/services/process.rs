//! A server process that outlives us: started in a session of its own, recognised later by pid *and* start time
//! (a pid alone may by then belong to somebody else), stopped by signal.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::workspace::run;

/// How long a server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// One process that we started.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Start time in clock ticks since boot, as in `/proc/PID/stat`.
    pub(crate) started: u64,
    /// The signal that asks it to stop, e.g. `TERM`.
    pub(crate) signal: String,
}

/// What to start and how.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<String>,
    pub(crate) envs: Vec<(String, String)>,
    /// Working directory; `<dir>/log` receives its output.
    pub(crate) dir: &'a Path,
    pub(crate) account: Option<Account>,
    pub(crate) signal: &'a str,
}

impl Launch<'_> {
    /// Starts it, detached from our session, input and output.
    pub(crate) fn spawn(self) -> Result<Process> {
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        let mut command = Command::new("setsid");
        command.arg(self.program).args(&self.args).current_dir(self.dir).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8").env("HOME", self.dir);
        command.envs(self.envs).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Account::apply(self.account, &mut command);
        let child =
            command.spawn().with_context(|| format!("{} could not be started", self.program.display()))?;
        let pid = child.id();
        // Deliberately not waited for: the server outlives this command.
        Process::of(pid, self.signal).with_context(|| format!("{} ended at once", self.program.display()))
    }
}

impl Process {
    /// The running process `pid`, to be stopped by `signal`.
    pub(crate) fn of(pid: u32, signal: &str) -> Option<Self> {
        Some(Self { pid, started: Stat::read(pid)?.started, signal: signal.to_owned() })
    }

    /// Whether it still runs: same pid, same start time, not a zombie.
    pub(crate) fn is_alive(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Asks it to stop, waits, kills it after the limit. Does nothing to a process that is not the one we started.
    pub(crate) fn stop(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        send(&self.signal, self.pid)?;
        if self.ended_within(STOP_LIMIT) {
            return Ok(());
        }
        send("KILL", self.pid)?;
        if self.ended_within(STOP_LIMIT) {
            return Ok(());
        }
        bail!("process {} does not end, not even by KILL", self.pid);
    }

    /// Kills every process of the session that this one leads.
    pub(crate) fn kill_session(&self) -> Result<()> {
        for pid in pids() {
            let Some(stat) = Stat::read(pid) else { continue };
            if stat.session == self.pid && stat.started >= self.started && stat.state != 'Z' {
                send("KILL", pid)?;
            }
        }
        Ok(())
    }

    fn ended_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// The identity of this boot: a record of another boot says nothing about today's pids.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The shell's own `kill`: a bare Debian has no program of that name.
fn send(signal: &str, pid: u32) -> Result<()> {
    let sent = run(Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "sh", signal, &pid.to_string()]));
    // Gone between the look and the signal: that is what we wanted.
    if Stat::read(pid).is_none() { Ok(()) } else { sent.map(drop) }
}

/// What a process started, and what that started, parents first.
pub(crate) fn descendants(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> =
        pids().into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?.parent))).collect();
    let mut family = vec![of];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family.split_off(1)
}

/// Ends processes at once; one that is gone is not an error.
pub(crate) fn kill_all(pids: &[u32]) -> Result<()> {
    pids.iter().try_for_each(|pid| send("KILL", *pid))
}

/// A process in a line, and what each of its threads waits in, as far as the kernel tells.
pub(crate) fn description(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let states: Vec<String> = threads
        .filter_map(|thread| {
            let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let state = Stat::parse(&read("stat"))?.state;
            Some(format!("{} {state} {}", read("comm").trim(), read("wchan").trim_matches(['0', '\n'])))
        })
        .collect();
    let line: String = line.trim().chars().take(160).collect();
    format!("{pid} {line}: {}", states.iter().map(|state| state.trim_end()).collect::<Vec<_>>().join(", "))
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

struct Stat {
    state: char,
    parent: u32,
    session: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, so count from the last one (proc(5): state is field 3).
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Launch, Process, Stat};
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn reads_stat_lines_with_odd_names() {
        let line = "77 (a) b) S 1 77 70 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session, stat.started), ('S', 1, 70, 4242));
    }

    #[test]
    fn stops_what_it_started_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("backshift-xtask-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let launch = Launch {
            program: Path::new("sleep"),
            args: vec!["600".to_owned()],
            envs: Vec::new(),
            dir: &dir,
            account: None,
            signal: "TERM",
        };
        let process = launch.spawn().unwrap();
        assert!(process.is_alive());

        let stranger = Process { started: process.started + 1, ..process.clone() };
        assert!(!stranger.is_alive());
        stranger.stop().unwrap();
        assert!(process.is_alive(), "a process with another start time was stopped");

        process.stop().unwrap();
        assert!(!process.is_alive());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn kills_the_whole_session() {
        let dir = std::env::temp_dir().join(format!("backshift-xtask-s-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let launch = Launch {
            program: Path::new("sh"),
            args: vec!["-c".to_owned(), "sleep 600 & echo $! >child; wait".to_owned()],
            envs: Vec::new(),
            dir: &dir,
            account: None,
            signal: "TERM",
        };
        let leader = launch.spawn().unwrap();
        let file = dir.join("child");
        let child = loop {
            if let Ok(pid) = std::fs::read_to_string(&file).unwrap_or_default().trim().parse() {
                break Process::of(pid, "TERM").unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        leader.kill_session().unwrap();
        assert!(leader.ended_within(Duration::from_secs(5)) && child.ended_within(Duration::from_secs(5)));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
