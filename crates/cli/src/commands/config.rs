//! `backshift config`: what is set, where it came from, and the commented file with every key.

use serde_json::{Value, json};

use crate::{
    args::ConfigCommand,
    config::{Config, SETTINGS, template},
    exit::Failure,
    output,
};

/// Runs the subcommand; it needs no server.
pub(super) fn run(command: &ConfigCommand, config: &Config) -> Result<(), Failure> {
    match command {
        ConfigCommand::Template => output::lines(template().trim_end()),
        ConfigCommand::Show { json: true, .. } => {
            let one = |s: &crate::config::Setting| json!({"key": s.key, "value": config.shown(s), "origin": config.origin(s).to_string(), "variable": s.variable()});
            output::json(&Value::Array(SETTINGS.iter().map(one).collect()));
        }
        ConfigCommand::Show { origin, .. } => {
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
