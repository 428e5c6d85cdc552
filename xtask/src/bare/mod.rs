//! `cargo xtask bare`: the whole check on a machine that has nothing: a fresh Debian, a fresh clone, and from here only
//! Rust and Go. What passes here and nowhere else is installed by nobody; a developer's machine cannot show that.
//!
//! It runs in name spaces of its own: its mounts are seen by nobody else, and they and all its processes are gone with
//! it, however it ends. It writes into its own directory and nowhere else.

mod host;
mod options;
mod packages;
mod root;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use self::options::Options;
use self::packages::Installed;
use self::root::Root;
use crate::workspace;

/// Runs the check, or another command, in a fresh root.
pub(crate) fn run(checkout: &Path, args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let begun = Instant::now();
    host::ready(checkout)?;
    let commit = commit(checkout, &options)?;
    eprintln!("== a fresh Debian {} with commit {commit}", host::suite()?);
    let mut root = Root::build(checkout, &commit)?;
    let before = Installed::read(root.path())?;
    eprintln!("== {} after {:.0} s", options.command, begun.elapsed().as_secs_f64());
    let status = root.enter(&options)?;
    report(&before, root.path())?;
    if options.keep {
        println!("kept: {}", root.keep().display());
    }
    println!("bare: {:.0} s in all", begun.elapsed().as_secs_f64());
    if status.success() { Ok(()) } else { bail!("the command failed in the fresh root ({status})") }
}

/// The commit that is cloned. What is not committed is not in it, and that is said.
fn commit(checkout: &Path, options: &Options) -> Result<String> {
    let git = |words: &[&str]| workspace::run(Command::new("git").arg("-C").arg(checkout).args(words));
    let commit = git(&["rev-parse", "--verify", &format!("{}^{{commit}}", options.commit)])
        .with_context(|| format!("{} is no commit of this checkout", options.commit))?;
    let changed = git(&["status", "--porcelain"])?.lines().count();
    if changed > 0 {
        eprintln!("{changed} changed file(s) of this checkout are not committed and take no part");
    }
    Ok(commit.trim().to_owned())
}

fn report(before: &Installed, root: &Path) -> Result<()> {
    let after = Installed::read(root)?;
    let (asked, drawn) = after.since(before);
    println!("\ninstalled by the run, asked for: {}", asked.join(" "));
    println!("installed with them: {} packages: {}", drawn.len(), drawn.join(" "));
    let size = workspace::run(Command::new("du").args(["-sxm", "--"]).arg(root)).unwrap_or_default();
    println!("disk: {} MB", size.split_whitespace().next().unwrap_or("?"));
    Ok(())
}
