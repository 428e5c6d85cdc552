//! One process under test, with its output and the signals that tests send.
//!
//! A frozen process (SIGSTOP) ignores SIGTERM until it is resumed; only SIGKILL ends it at once.

use std::{
    ffi::OsStr,
    path::Path,
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::{process::backshift_binary, wait};

/// How long the output of an ended process is waited for when something else still holds its pipe.
const LAST_LINES: Duration = Duration::from_secs(10);

/// A process that runs until it is told to stop, or dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Pid,
    lines: Arc<Mutex<Vec<String>>>,
    readers: JoinSet<()>,
}

/// Runs `backshift` to its end with exactly these settings in its environment (beside `PATH` and `HOME`).
///
/// # Panics
/// When it cannot be started, or has not ended after two minutes.
pub async fn run<A: AsRef<OsStr>>(arguments: &[A], settings: &[(&str, &str)]) -> Output {
    let mut command = command(arguments, settings);
    let ended = wait::within(Duration::from_secs(120), command.output()).await;
    ended.expect("the command ends within two minutes").expect("the binary can be started")
}

impl Running {
    /// Starts `backshift` with exactly these settings in its environment (beside `PATH` and `HOME`).
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(arguments: &[A], settings: &[(&str, &str)]) -> Self {
        Self::launch(backshift_binary(), arguments, settings)
    }

    /// The same with any program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch<A: AsRef<OsStr>>(program: &Path, arguments: &[A], settings: &[(&str, &str)]) -> Self {
        Self::spawn(prepare(program, arguments, settings))
    }

    /// The same in this directory.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn launch_in<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        directory: &Path,
        arguments: &[A],
        settings: &[(&str, &str)],
    ) -> Self {
        let mut command = prepare(program.as_ref(), arguments, settings);
        command.current_dir(directory);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be started");
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("it runs");
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let mut readers = JoinSet::new();
        collect(child.stdout.take(), &lines, &mut readers);
        collect(child.stderr.take(), &lines, &mut readers);
        Self { child, pid, lines, readers }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Both outputs so far, line by line.
    pub fn output(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a line of output that contains the text; says whether it came in time.
    pub async fn wait_for_output(&self, text: &str, deadline: Duration) -> bool {
        wait::until(deadline, || async { self.output().contains(text) }).await
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the process takes signals");
    }

    /// Stops it where it is (SIGSTOP); it keeps its connections and notices nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Waits until it stands still, because somebody froze it or it froze itself; says whether it did in time.
    pub async fn stands_still(&self, deadline: Duration) -> bool {
        let stat = format!("/proc/{}/stat", self.pid());
        let stopped = |text: String| text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
        wait::until(deadline, || async { std::fs::read_to_string(&stat).is_ok_and(stopped) }).await
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to drain and end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it at once (SIGKILL) and waits until the kernel has closed its connections.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
    }

    /// Waits for its end and for the last line of its output; `None` = it still runs after the deadline.
    pub async fn ended(&mut self, deadline: Duration) -> Option<ExitStatus> {
        let status = wait::within(deadline, self.child.wait()).await?.ok();
        // A child of its own may outlive it and hold the pipe: then what was read until now is all.
        let all_read = async { while self.readers.join_next().await.is_some() {} };
        wait::within(LAST_LINES, all_read).await;
        status
    }
}

fn command<A: AsRef<OsStr>>(arguments: &[A], settings: &[(&str, &str)]) -> Command {
    prepare(backshift_binary(), arguments, settings)
}

fn prepare<A: AsRef<OsStr>>(program: &Path, arguments: &[A], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    for kept in ["PATH", "HOME", "RUST_BACKTRACE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command.envs(settings.iter().copied());
    command
}

fn collect(
    stream: Option<impl AsyncRead + Unpin + Send + 'static>,
    lines: &Arc<Mutex<Vec<String>>>,
    readers: &mut JoinSet<()>,
) {
    let Some(stream) = stream else { return };
    let (mut reader, lines) = (BufReader::new(stream).lines(), Arc::clone(lines));
    readers.spawn(async move {
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
