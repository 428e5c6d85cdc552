//! The real binary as a process of its own, under a memory limit of the kernel where there is one to be had.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// The memory controller of cgroup v1 and of v2: where groups are made, and the name of the limit.
const CONTROLLERS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A running `backshift`.
pub(crate) struct Binary {
    child: Child,
    group: Option<PathBuf>,
    log: PathBuf,
}

impl Binary {
    /// Starts `backshift ARGUMENTS…` in an environment of its own; with a limit the kernel kills it beyond that.
    ///
    /// # Errors
    /// When it is not built, or when a limit is asked for and this machine lets nobody set one.
    pub(crate) fn start(
        folder: &Path,
        arguments: &[&str],
        variables: &[(&str, String)],
        limit: Option<u64>,
    ) -> Result<Self> {
        let group = limit.map(group).transpose()?;
        let log = folder.join("backshift.log");
        let enter = group
            .as_ref()
            .map_or(String::new(), |group| format!("echo $$ > {}/cgroup.procs && ", group.display()));
        let child = Command::new("sh")
            .args(["-c", &format!("{enter}exec \"$0\" \"$@\"")])
            .arg(program()?)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdout(fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, group, log })
    }

    /// Resident memory now, in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, in MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// # Errors
    /// When it has ended: the kernel killed it, or it gave up.
    pub(crate) fn lives(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the worker ended ({status}): {}", log.lines().last().unwrap_or_default());
        }
        Ok(())
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to stop and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.lives()?;
        let told = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(told.success(), "the worker could not be told to stop");
        let status = self.child.wait()?;
        ensure!(status.success(), "the worker ended with {status}");
        Ok(())
    }

    fn memory(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(field)).context("the worker ended")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(group) = &self.group {
            let _ = fs::remove_dir(group);
        }
    }
}

/// `backshift` beside this program, or where `BACKSHIFT_BINARY` says.
fn program() -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("backshift"));
    let program = std::env::var_os("BACKSHIFT_BINARY").map(PathBuf::from).or_else(beside);
    let program = program.filter(|program| program.is_file());
    program.context("no backshift binary: build it with `cargo build --profile bench -p backshift-cli`")
}

fn group(limit: u64) -> Result<PathBuf> {
    for (root, name) in CONTROLLERS {
        let group = Path::new(root).join(format!("backshift-bench-{}", std::process::id()));
        if fs::create_dir(&group).is_ok() || group.is_dir() {
            if fs::write(group.join(name), limit.to_string()).is_ok() {
                return Ok(group);
            }
            let _ = fs::remove_dir(&group);
        }
    }
    bail!("no memory limit can be set here: it needs a writable cgroup")
}
