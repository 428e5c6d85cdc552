//! The `backshift` binary: reads configuration, wires everything, runs it.
//!
//! Nothing here decides anything about jobs; the only place that names concrete brokers is `wiring`.

mod args;
mod commands;
mod config;
mod exit;
mod output;
mod signals;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::problem(&failure);
            failure.exit_code()
        }
    }
}
