//! `cargo xtask test`: the README's test command. Sets everything up, runs every check even when one fails, and
//! stops only the servers that it started itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::services::Session;
use crate::watch::{self, Limits};
use crate::workspace::cargo;
use crate::{features, services, tidy};

/// The crates that a program takes from a registry: each must be whole without the checkout around it.
const PUBLIC: [&str; 10] = [
    "backshift",
    "backshift-brokers",
    "backshift-core",
    "backshift-domains",
    "backshift-http",
    "backshift-mail",
    "backshift-runtime",
    "backshift-servers",
    "backshift-store",
    "backshift-testkit",
];

/// One line of the table at the end.
struct Step {
    name: &'static str,
    seconds: f64,
    error: Option<String>,
}

/// Runs everything; `--quick` leaves out clippy, the sets of features, the dependency policy and the packages.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    let quick = match args {
        [] => false,
        [flag] if flag == "--quick" => true,
        _ => bail!("usage: cargo xtask test [--quick]"),
    };
    let mut servers = Session::new(root);
    let mut counts = Counts::default();
    let mut steps = vec![
        step("services", || servers.start(&services::Options::default())),
        step("format", || status(cargo(root).args(["fmt", "--all", "--", "--check"]))),
        step("tidy", || tidy::run(root, &[])),
    ];
    if !quick {
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        steps.push(step("clippy", || status(cargo(root).args(clippy))));
        steps.push(step("features", || features::check(root)));
        if has_deny(root) {
            let deny = ["deny", "check", "licenses", "bans", "sources"];
            steps.push(step("deny", || status(cargo(root).args(deny))));
        }
    }
    steps.push(step("tests", || tests(root, &mut counts)));
    if !quick {
        // Everything was fetched by now: whatever asks for the network is missing from the lock file.
        let packed = ["package", "--no-verify", "--allow-dirty", "--offline", "--quiet"];
        let crates = PUBLIC.iter().flat_map(|name| ["--package", name]);
        steps.push(step("package", || status(cargo(root).args(packed).args(crates))));
    }
    steps.push(step("stop", || servers.stop()));
    report(&steps, &counts)
}

fn step(name: &'static str, work: impl FnOnce() -> Result<()>) -> Step {
    eprintln!("== {name}");
    let started = Instant::now();
    let error = work().err().map(|error| format!("{error:#}"));
    if let Some(error) = &error {
        eprintln!("{name}: {error}");
    }
    Step { name, seconds: started.elapsed().as_secs_f64(), error }
}

fn status(command: &mut Command) -> Result<()> {
    let status = command.status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("failed ({status})") }
}

fn has_deny(root: &Path) -> bool {
    let found = cargo(root).args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// All tests, doc tests included, with the servers' addresses. A test whose server is missing fails.
fn tests(root: &Path, counts: &mut Counts) -> Result<()> {
    let mut command = cargo(root);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    command.envs(services::environment(root)?).env("BACKSHIFT_REQUIRE", "all");
    // Tests of real servers and processes mostly wait: more of them at a time than there are cores.
    command.env("RUST_TEST_THREADS", "4");
    let ended = watch::run(&mut command, Limits::TESTS, |line| counts.read(line))?;
    if !ended.hung.is_empty() {
        bail!("{} test program(s) stood still and were ended\n{}", ended.hung.len(), ended.hung.join("\n"));
    }
    if ended.status.success() { Ok(()) } else { bail!("failed ({})", ended.status) }
}

fn report(steps: &[Step], counts: &Counts) -> Result<()> {
    println!("\n{:<10} {:>8}", "step", "seconds");
    for step in steps {
        let mark = if step.error.is_some() { "FAILED" } else { "ok" };
        println!("{:<10} {:>8.1}  {mark}", step.name, step.seconds);
    }
    println!("{:<10} {:>8.1}", "all", steps.iter().map(|step| step.seconds).sum::<f64>());
    println!("{} tests passed, {} failed, {} ignored", counts.passed, counts.failed, counts.ignored);
    let failed: Vec<&str> = steps.iter().filter(|step| step.error.is_some()).map(|step| step.name).collect();
    if failed.is_empty() { Ok(()) } else { bail!("failed: {}", failed.join(", ")) }
}

/// Sums of the `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Counts {
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, report, step};

    #[test]
    fn sums_the_result_lines() {
        let mut counts = Counts::default();
        counts.read(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        );
        counts.read("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s");
        counts.read("test a::b ... ok");
        assert_eq!(counts, Counts { passed: 15, failed: 2, ignored: 1 });
    }

    #[test]
    fn one_failed_step_fails_the_run() {
        let good = step("good", || Ok(()));
        let bad = step("bad", || anyhow::bail!("no"));
        assert!(report(&[good], &Counts::default()).is_ok());
        assert!(report(&[bad], &Counts::default()).unwrap_err().to_string().contains("bad"));
    }
}
