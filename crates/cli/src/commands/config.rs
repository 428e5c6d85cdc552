//! `backshift config`: what is set, where it came from, and the commented file with every key.

use serde_json::{Value, json};

use crate::{
    config::{Config, SETTINGS, template},
    exit::Failure,
    output,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show every setting; secrets are not printed.
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the commented configuration file with every key.
    Template,
}

/// Runs the subcommand; it needs no server.
pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    match command {
        Command::Template => output::lines(template().trim_end()),
        Command::Show { json: true, .. } => {
            let one = |s: &crate::config::Setting| json!({"key": s.key, "value": config.shown(s), "origin": config.origin(s).to_string(), "variable": s.variable()});
            output::json(&Value::Array(SETTINGS.iter().map(one).collect()));
        }
        Command::Show { origin, .. } => {
            let row = |s: &crate::config::Setting| {
                let mut row = vec![s.key.to_owned(), config.shown(s)];
                row.extend(origin.then(|| config.origin(s).to_string()));
                row
            };
            let heading: &[&str] = if *origin { &["KEY", "VALUE", "ORIGIN"] } else { &["KEY", "VALUE"] };
            output::table(heading, &SETTINGS.iter().map(row).collect::<Vec<_>>());
        }
    }
    Ok(())
}
