//! `cargo xtask bench NAME…`: Backshift side by side with raw clients and peers, on servers of its own.
//!
//! `all` runs every bench and writes `benches/results`, `report` makes `docs/benchmarks.md` of it. The machine should
//! do nothing else meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::services::{self, Session};
use crate::workspace::{cargo, which};

const RESULTS: &str = "benches/results";
const PEERS: &str = "target/peers";
const USAGE: &str = "cargo xtask bench NAME… [--rounds N] [--scale X] [--arm NAME] | all | list | report";

/// Runs the named benches with the remaining arguments.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        None => bail!("usage: {USAGE}"),
        Some("list") => {
            print!("{}", program(root, args)?);
            Ok(())
        }
        Some("report") => report(root),
        Some("all") => all(root, &args[1..]),
        Some(_) => measure(root, args),
    }
}

fn all(root: &Path, options: &[String]) -> Result<()> {
    let list = program(root, &["list".to_owned()])?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    let results = ["--results".to_owned(), RESULTS.to_owned()];
    measure(root, &names.chain(options.iter().cloned()).chain(results).collect::<Vec<_>>())?;
    report(root)
}

fn measure(root: &Path, args: &[String]) -> Result<()> {
    peers(root)?;
    if args.iter().any(|name| name.starts_with("memory")) {
        worker(root)?;
    }
    let mut session = Session::new(root);
    session.start(&services::Options::default())?;
    let mut command = benches(root, args);
    command.envs(services::environment(root)?).env("BACKSHIFT_PEERS", peers_dir(root));
    let status = command.status().context("cargo could not be started")?;
    session.stop()?;
    if status.success() { Ok(()) } else { bail!("the bench failed ({status})") }
}

/// `docs/benchmarks.md`, from the results of the last runs.
fn report(root: &Path) -> Result<()> {
    let page = program(root, &["report", "--results", RESULTS].map(str::to_owned))?;
    fs::write(root.join("docs/benchmarks.md"), page).context("docs/benchmarks.md cannot be written")
}

/// What the program prints.
fn program(root: &Path, args: &[String]) -> Result<String> {
    let output =
        benches(root, args).stderr(Stdio::inherit()).output().context("cargo could not be started")?;
    if !output.status.success() {
        bail!("the program of the benches failed ({})", output.status);
    }
    String::from_utf8(output.stdout).context("the program printed no text")
}

fn benches(root: &Path, args: &[String]) -> Command {
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--profile", "bench", "--package", "backshift-benches", "--"]).args(args);
    command
}

/// The binary whose memory is measured.
fn worker(root: &Path) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--profile", "bench", "--package", "backshift-cli"]);
    if !build.status().context("cargo could not be started")?.success() {
        bail!("the worker could not be built");
    }
    Ok(())
}

/// Builds the peers that this machine can build; an arm whose peer is missing has no result, and says so.
fn peers(root: &Path) -> Result<()> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--manifest-path", "benches/peers/Cargo.toml", "--target-dir", PEERS]);
    if !build.status().context("cargo could not be started")?.success() {
        bail!("the peers in benches/peers could not be built");
    }
    let Some(go) = which("go") else {
        eprintln!("no Go here: the arm of River has no result");
        return Ok(());
    };
    let mut build = Command::new(go);
    build.args(["build", "-o"]).arg(peers_dir(root).join("river")).arg(".");
    let status = build.current_dir(root.join("benches/river")).status().context("go could not be started")?;
    if status.success() { Ok(()) } else { bail!("the peer in benches/river could not be built") }
}

fn peers_dir(root: &Path) -> PathBuf {
    root.join(PEERS).join("release")
}
