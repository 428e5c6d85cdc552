//! `cargo xtask …`: the developer's commands (test servers, the whole test run, tidy checks, benchmarks).
//! Depends on next to nothing, so that it is built in seconds on a bare machine.

mod bare;
mod bench;
mod features;
mod fuzz;
mod services;
mod siege;
mod simulate;
mod survival;
mod survival_mails;
mod test;
mod tidy;
mod watch;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask test [--quick]                 everything: servers, format, tidy, clippy, tests (--quick: no clippy)
cargo xtask bare [--keep] [--commit REV] [--command CMD] [--cache DIR]
                                           the same in a fresh Debian root with a fresh clone (needs root)
cargo xtask services up [--fast] [NAME…]   start test servers (all of them, or these)
cargo xtask services down [NAME…]          stop them
cargo xtask services status | env          which run | the BACKSHIFT_TEST_* variables that tests read
cargo xtask simulate [--seeds 10000] [--from N] [--threads N] [--trace | --planted]
                                           simulated worlds; one with its history; the planted bugs
cargo xtask siege [ATTACK…] [--clients 2000] [--rounds 3] [--seconds 3] [--factor 5] [--floor-ms 50]
                                           clients by the thousand that mean harm, and an honest one that measures
cargo xtask tidy                           arrows, budgets, headers, names, rules, links
cargo xtask bench NAME… | all | list       benchmarks side by side with raw clients and peers
cargo xtask bench report                   docs/benchmarks.md from benches/results
cargo xtask fuzz TARGET [--minutes N]      one fuzzer of fuzz/, ten minutes unless told otherwise
cargo xtask survive [--broker NAME] [--jobs N] [--kills N] [--server-kills N] [--seed N]
                                           workers and servers killed under load, then everything counted
cargo xtask survive recovery [--broker NAME] [--trials N]   how soon a killed worker's jobs run again
cargo xtask survive mails [--mails N] [--backlog N]         system C: workers and broker killed, mail server dead";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let root = workspace::root()?;
    let rest = args.get(1..).unwrap_or_default();
    match args.first().map_or("help", String::as_str) {
        "services" => services::run(&root, rest),
        "test" => test::run(&root, rest),
        "siege" => siege::run(&root, rest),
        "simulate" => simulate::run(&root, rest),
        "bare" => bare::run(&root, rest),
        "tidy" => tidy::run(&root, rest),
        "bench" => bench::run(&root, rest),
        "fuzz" => fuzz::run(&root, rest),
        "survive" => survival::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown command {other:?}\n{USAGE}"),
    }
}
