//! The siege as a command, built and called by `cargo xtask siege`.
//!
//! It takes the binary's path and never builds anything; what it starts, it ends.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use backshift_testkit::siege::{Attack, Siege};
use rustix::process::{Resource, getrlimit, setrlimit};

const USAGE: &str = "siege --binary PATH [--clients 2000] [--rounds 3] [--seconds 3] [--factor 5] [--floor-ms 50] [--memory-mib 256] [ATTACK…]";

#[tokio::main]
async fn main() -> ExitCode {
    let (binary, siege) = match read(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    allow_sockets();
    let laid = tokio::select! {
        laid = siege.lay(&binary) => laid,
        // What was started ends with its values.
        _ = tokio::signal::ctrl_c() => Err(std::io::Error::other("interrupted")),
    };
    match laid {
        Ok(report) => {
            print!("{report}");
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// As many descriptors as the system lets us have, here and in the server that is started.
fn allow_sockets() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        eprintln!("the limit of open files stays: {error}");
    }
}

fn read(arguments: impl Iterator<Item = String>) -> Result<(PathBuf, Siege), String> {
    let (mut binary, mut siege) = (PathBuf::new(), Siege::default());
    let (mut attacks, mut arguments) = (Vec::new(), arguments);
    while let Some(word) = arguments.next() {
        if !word.starts_with("--") {
            attacks.push(word.parse::<Attack>()?);
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = |most: u64| match value.parse::<u64>() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(format!("{word} {value:?}: write a number from 1 to {most}")),
        };
        match word.as_str() {
            "--binary" => binary = PathBuf::from(&value),
            "--clients" => siege.clients = number(8000)? as usize,
            "--rounds" => siege.rounds = number(99)? as usize,
            "--seconds" => siege.time = Duration::from_secs(number(60)?),
            "--factor" => siege.factor = number(1000)? as f64,
            "--floor-ms" => siege.floor = Duration::from_millis(number(60_000)?),
            "--memory-mib" => siege.memory = number(65_536)? << 20,
            _ => return Err(format!("unknown flag {word}")),
        }
    }
    if !attacks.is_empty() {
        siege.attacks = attacks;
    }
    // The server has another working directory.
    let binary = binary.canonicalize().map_err(|error| format!("--binary {binary:?}: {error}"))?;
    Ok((binary, siege))
}
