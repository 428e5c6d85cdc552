//! The `backshift` binary: reads configuration, wires everything, runs it.
//!
//! Nothing here decides anything about jobs; concrete brokers are named in `sources` alone, domains in `domains`.

mod args;
mod commands;
mod config;
mod domains;
mod examples;
mod exit;
mod finding;
mod literal;
mod memory;
mod output;
mod signals;
mod sources;
mod telemetry;
mod terminal;
mod wiring;

use std::process::ExitCode;

use clap::FromArgMatches;

fn main() -> ExitCode {
    let typed = examples::command().try_get_matches();
    let cli = match typed.and_then(|typed| args::Cli::from_arg_matches(&typed)) {
        Ok(cli) => cli,
        Err(error) => return output::misuse(&error),
    };
    if cli.command.runs_long() {
        memory::give_large_blocks_back();
    }
    match commands::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            output::problem(&failure);
            failure.exit_code()
        }
    }
}
