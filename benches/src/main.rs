//! `backshift-benches NAME…`: Backshift beside what an expert would write by hand, and beside its peers.
//!
//! Every figure is a ratio of two arms measured in the same round on the same servers; absolute numbers describe
//! the machine, not the software. Run it by `cargo xtask bench NAME`, which builds it and starts the servers.
#![allow(missing_docs, reason = "a program, not a library")]

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

mod harness;
mod ours;
mod peers;
mod raw;
mod rows;
mod site;

/// Which benches to run, and how long.
#[derive(Parser)]
struct Arguments {
    /// Names of benches; `list` prints them, `report` writes the Markdown table from the results.
    #[arg(required = true)]
    names: Vec<String>,
    /// Rounds of each bench: every arm is measured once in a round, in alternating order.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Multiplies the number of jobs of each arm.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Only these arms (for tuning); rows that miss an arm have no verdict.
    #[arg(long)]
    arm: Vec<String>,
    /// Folder of the results, one JSON file a bench; without it they are only printed.
    #[arg(long)]
    results: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let benches = rows::all();
    match arguments.names[0].as_str() {
        "list" => {
            for bench in &benches {
                println!("{:<20} {}", bench.name, bench.about);
            }
            return Ok(());
        }
        "report" => return harness::report(arguments.results.as_deref(), &benches),
        _ => {}
    }
    // Two threads: both arms share the runtime's shape.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut without = Vec::new();
    for name in &arguments.names {
        let Some(bench) = benches.iter().find(|bench| bench.name == name) else {
            let known: Vec<_> = benches.iter().map(|bench| bench.name).collect();
            bail!("there is no bench called {name:?}; there are: {}", known.join(", "))
        };
        let plan =
            harness::Plan { rounds: arguments.rounds, scale: arguments.scale, only: arguments.arm.clone() };
        let outcome = runtime.block_on(harness::run(bench, &plan))?;
        harness::print(bench, &outcome);
        if let Some(folder) = &arguments.results {
            harness::write(folder, &outcome)?;
        }
        without.extend(outcome.rows.into_iter().filter(|row| row.median.is_none()).map(|row| row.id));
    }
    // An arm that went wrong is told where it ran; a run that lacks a row is no measurement.
    if arguments.arm.is_empty() && !without.is_empty() {
        bail!("no result for {}: see what its arms said above", without.join(", "));
    }
    Ok(())
}
