//! `cargo xtask survive mails`: the mail scenarios at length, with a worker built with optimisation.
//!
//! The scenarios are tests of the CLI (`crates/cli/tests/it/mails`), where they run small; here they are only told how many
//! mails, so that what is shown and what is tested is the same program.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::services::{self, Options, Session};
use crate::workspace::cargo;

const USAGE: &str = "cargo xtask survive mails [--mails 10000] [--backlog 20000]";

/// Runs both scenarios: killed workers and broker, and a backlog before a dead mail server.
pub(crate) fn run(root: &Path, args: &[String], target: &Path) -> Result<()> {
    let (mut mails, mut backlog) = ("10000".to_owned(), "20000".to_owned());
    for pair in args.chunks(2) {
        match pair {
            [flag, number] if flag == "--mails" && number.parse::<usize>().is_ok() => {
                mails.clone_from(number)
            }
            [flag, number] if flag == "--backlog" && number.parse::<usize>().is_ok() => {
                backlog.clone_from(number);
            }
            _ => bail!("usage: {USAGE}"),
        }
    }
    let build = ["build", "--profile", "bench", "--package", "backshift-cli", "--bin", "backshift"];
    succeed(cargo(root).args(build), "the binary could not be built")?;
    let mut session = Session::new(root);
    let names = ["postgres", "rabbitmq"].map(str::to_owned).to_vec();
    session.start(&Options { names, ..Options::default() })?;
    let mut test = cargo(root);
    test.args(["test", "--package", "backshift-cli", "--test", "it", "--", "mails::", "--skip", "faults::"]);
    test.args(["--nocapture", "--test-threads", "1"]).envs(services::environment(root)?);
    test.env("BACKSHIFT_SURVIVE_MAILS", mails).env("BACKSHIFT_SURVIVE_BACKLOG", backlog);
    test.env("BACKSHIFT_TEST_BINARY", target.join("release/backshift")).env("BACKSHIFT_REQUIRE", "all");
    succeed(&mut test, "a promise was broken")?;
    session.stop()
}

fn succeed(command: &mut std::process::Command, otherwise: &str) -> Result<()> {
    let status = command.status().context("cargo could not be started")?;
    if status.success() { Ok(()) } else { bail!("{otherwise} ({status})") }
}
