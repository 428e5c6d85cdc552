//! Runs `cargo test` and ends a test program that stands still: a run that hangs tells nobody what hung, and costs the
//! whole time that a check is given. What says which test it is: libtest names each one that runs for over a minute,
//! and the kernel knows what every thread waits in. Only what our own cargo started is ever ended.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::services::process;

/// How long one test program may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Without a word: no test ended.
    pub(crate) silence: Duration,
    /// In all.
    pub(crate) whole: Duration,
}

impl Limits {
    /// Generous: a busy machine is slow, and only a program that will never end is worth losing its results.
    pub(crate) const TESTS: Self =
        Self { silence: Duration::from_secs(15 * 60), whole: Duration::from_secs(45 * 60) };
}

/// How a watched run ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// One text a test program that was ended.
    pub(crate) hung: Vec<String>,
}

enum Line {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs the command, shows what it prints and hands each line of its standard output to `read`.
pub(crate) fn run(command: &mut Command, limits: Limits, mut read: impl FnMut(&str)) -> Result<Ended> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cargo could not be started")?;
    let lines = lines_of(&mut child)?;
    let (mut program, mut hung) = (Program::default(), Vec::new());
    loop {
        match lines.recv_timeout(Duration::from_secs(1).min(limits.silence)) {
            Ok(Line::Out(line)) => {
                show(&mut std::io::stdout().lock(), &line)?;
                let text = String::from_utf8_lossy(&line);
                program.said(&text, Instant::now());
                read(&text);
            }
            Ok(Line::Err(line)) => {
                show(&mut std::io::stderr().lock(), &line)?;
                program.noted(&plain(&String::from_utf8_lossy(&line)), Instant::now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(reason) = program.overdue(limits, Instant::now()) {
            let text = end(child.id(), &program, &reason)?;
            eprintln!("{text}");
            hung.push(text);
            program = Program::default();
        }
    }
    Ok(Ended { status: child.wait()?, hung })
}

/// Both outputs, each in its order; ends when both are closed.
fn lines_of(child: &mut Child) -> Result<mpsc::Receiver<Line>> {
    let (sender, lines) = mpsc::channel();
    let out = child.stdout.take().context("cargo has no output")?;
    let err = child.stderr.take().context("cargo has no error output")?;
    let other = sender.clone();
    std::thread::spawn(move || pass(out, &sender, Line::Out));
    std::thread::spawn(move || pass(err, &other, Line::Err));
    Ok(lines)
}

fn pass(from: impl Read, to: &Sender<Line>, kind: fn(Vec<u8>) -> Line) {
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { return };
        if to.send(kind(line)).is_err() {
            return;
        }
    }
}

fn show(screen: &mut impl Write, line: &[u8]) -> Result<()> {
    screen.write_all(line)?;
    screen.write_all(b"\n")?;
    Ok(())
}

/// The test program that runs now, as far as its output tells.
#[derive(Debug, Default)]
struct Program {
    /// As cargo names it; `None` = none runs.
    name: Option<String>,
    since: Option<Instant>,
    last: Option<Instant>,
    /// Tests that libtest called slow and that did not end since.
    slow: BTreeSet<String>,
}

impl Program {
    /// A line of cargo, or of a test program without libtest.
    fn noted(&mut self, line: &str, now: Instant) {
        let line = line.trim_start();
        if line.starts_with("Running ") || line.starts_with("Doc-tests ") {
            // Lines of the two outputs may overtake each other: what the first program said stays.
            let slow = if self.name.is_none() { std::mem::take(&mut self.slow) } else { BTreeSet::new() };
            *self = Self { name: Some(line.to_owned()), since: Some(now), last: None, slow };
        }
        self.last = Some(now);
    }

    /// A line of libtest. Its last one ends nothing: a program may hang on its way out, too.
    fn said(&mut self, line: &str, now: Instant) {
        self.last = Some(now);
        if let Some(rest) = line.strip_prefix("test ") {
            if let Some(name) = rest.strip_suffix(" has been running for over 60 seconds") {
                self.slow.insert(name.to_owned());
            } else if let Some((name, _)) = rest.split_once(" ... ") {
                self.slow.remove(name);
            }
        }
    }

    fn overdue(&self, limits: Limits, now: Instant) -> Option<String> {
        let (since, last) = (self.since?, self.last?);
        if now.duration_since(last) > limits.silence {
            return Some(format!("said nothing for {} s", limits.silence.as_secs()));
        }
        let whole = limits.whole.as_secs();
        (now.duration_since(since) > limits.whole).then(|| format!("has run for {whole} s"))
    }
}

/// Ends everything that cargo started, and says what it was doing.
fn end(cargo: u32, program: &Program, reason: &str) -> Result<String> {
    let pids = process::descendants(cargo);
    let mut text = format!("HUNG: {} {reason}", program.name.as_deref().unwrap_or("a test program"));
    let slow: Vec<&str> = program.slow.iter().map(String::as_str).collect();
    match slow.is_empty() {
        true => text += "; libtest named no test that runs for over a minute",
        false => text += &format!("; under way: {}", slow.join(", ")),
    }
    for pid in pids.iter().take(8) {
        text += &format!("\n  {}", process::description(*pid));
    }
    process::kill_all(&pids)?;
    Ok(text)
}

/// A line without the colours of a terminal.
fn plain(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text += part.split_once('m').map_or(part, |(_, rest)| rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{Limits, Program, plain, run};

    const LIMITS: Limits = Limits { silence: Duration::from_secs(10), whole: Duration::from_secs(100) };

    #[test]
    fn a_program_is_due_until_it_is_silent_or_takes_too_long() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut program = Program::default();
        program.noted("   Compiling a", at(0));
        assert!(program.overdue(LIMITS, at(1000)).is_none(), "a build is not watched");

        program.noted("     Running tests/it/main.rs (target/debug/deps/it-1)", at(1000));
        program.said("test a::b has been running for over 60 seconds", at(1005));
        program.said("test c::d has been running for over 60 seconds", at(1005));
        program.said("test c::d ... ok", at(1006));
        assert!(program.overdue(LIMITS, at(1016)).is_none());
        assert!(program.overdue(LIMITS, at(1017)).unwrap().contains("nothing"));
        assert_eq!(program.slow.iter().collect::<Vec<_>>(), ["a::b"]);
        (1010..1101).for_each(|second| program.said("noise", at(second)));
        assert!(program.overdue(LIMITS, at(1101)).unwrap().contains("100 s"));

        program.noted("     Running tests/other.rs (target/debug/deps/other-1)", at(1101));
        assert!(program.slow.is_empty());
        program.said("test result: ok. 2 passed; 0 failed", at(1102));
        assert!(program.overdue(LIMITS, at(1112)).is_none());
        assert!(program.overdue(LIMITS, at(1113)).is_some(), "it does not end");
    }

    #[test]
    fn what_hangs_is_named_and_ended() {
        let mut command = Command::new("sh");
        let script =
            "echo '     Running x (y)' >&2; echo 'test a::b has been running for over 60 seconds'; sleep 600";
        // Both outputs are there long before: only a program that is silent from then on is judged.
        let limits = Limits { silence: Duration::from_secs(3), whole: Duration::from_secs(60) };
        let begun = Instant::now();
        let mut lines = Vec::new();
        // A shell that forks: what it starts is ended, and it goes on.
        let ended =
            run(command.args(["-c", &format!("{script}; true")]), limits, |line| lines.push(line.to_owned()));
        let ended = ended.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody ended it");
        assert!(ended.status.success());
        assert_eq!(lines, ["test a::b has been running for over 60 seconds"]);
        let [text] = &ended.hung[..] else { panic!("{:?}", ended.hung) };
        assert!(text.contains("Running x (y)") && text.contains("a::b") && text.contains("sleep"), "{text}");
    }

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(plain("\x1b[1m\x1b[32m     Running\x1b[0m x"), "     Running x");
    }
}
