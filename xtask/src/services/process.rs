//! A server process that outlives us: started in a session of its own, recognised later by pid *and* start time
//! (a pid alone may by then belong to somebody else), stopped by signal.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use backshift_servers::command::run;
use backshift_servers::process::{Stat, family, pids};
use backshift_servers::{Launch, Signal, Site};
use serde::{Deserialize, Serialize};

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

impl Process {
    /// Starts it, detached from our session, input and output.
    pub(crate) fn start(launch: Launch, site: &Site) -> Result<Self> {
        let (program, signal) = (launch.program.display().to_string(), launch.signal);
        let child = launch.detached().command(site)?.spawn();
        let pid = child.with_context(|| format!("{program} could not be started"))?.id();
        // Deliberately not waited for: the server outlives this command.
        Self::of(pid, signal).with_context(|| format!("{program} ended at once"))
    }

    /// The running process `pid`, to be stopped by `signal`.
    pub(crate) fn of(pid: u32, signal: Signal) -> Option<Self> {
        Some(Self { pid, started: Stat::read(pid)?.started, signal: signal.name().to_owned() })
    }

    /// Whether it still runs: same pid, same start time, not a zombie.
    pub(crate) fn is_alive(&self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && stat.runs())
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
            if stat.session == self.pid && stat.started >= self.started && stat.runs() {
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
    family(of).split_off(1)
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

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use backshift_servers::{Launch, Signal, Site, Wishes, programs};

    use super::Process;

    /// A place of its own.
    pub(crate) fn whereabouts(name: &str) -> Site {
        let dir = std::env::temp_dir().join(format!("backshift-xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Site::new(None, &[], dir, Wishes::default()).unwrap()
    }

    pub(crate) fn sleeper() -> Launch {
        Launch::new(programs::find("sleep").unwrap(), ["600"])
    }

    #[test]
    fn stops_what_it_started_and_nothing_else() {
        let site = whereabouts("stop");
        let process = Process::start(sleeper(), &site).unwrap();
        assert!(process.is_alive());

        let stranger = Process { started: process.started + 1, ..process.clone() };
        assert!(!stranger.is_alive());
        stranger.stop().unwrap();
        assert!(process.is_alive(), "a process with another start time was stopped");

        process.stop().unwrap();
        assert!(!process.is_alive());
        std::fs::remove_dir_all(&site.dir).unwrap();
    }

    #[test]
    fn kills_the_whole_session() {
        let site = whereabouts("session");
        let script = ["-c", "sleep 600 & echo $! >child; wait"];
        let leader = Process::start(Launch::new(programs::find("sh").unwrap(), script), &site).unwrap();
        let file = site.file("child");
        let child = loop {
            if let Ok(pid) = std::fs::read_to_string(&file).unwrap_or_default().trim().parse() {
                break Process::of(pid, Signal::Term).unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        leader.kill_session().unwrap();
        assert!(leader.ended_within(Duration::from_secs(5)) && child.ended_within(Duration::from_secs(5)));
        std::fs::remove_dir_all(&site.dir).unwrap();
    }
}
