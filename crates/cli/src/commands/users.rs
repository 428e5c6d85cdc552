//! `backshift users`: the first administrator is made here, because the API lets only administrators make more.

use backshift_store::{Database, migrate::Line};
use serde_json::json;

use crate::{config::Config, domains::identity, exit::Failure, output};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an account an administrator.
    GrantAdmin {
        /// The account's address.
        email: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What it works on.
pub(super) const TABLES: &Line = identity::TABLES;

/// Runs the subcommand.
pub(super) async fn run(command: &Command, config: &Config, database: &Database) -> Result<(), Failure> {
    let Command::GrantAdmin { email, json: as_json } = command;
    identity::grant_admin(config, database, email).await?;
    if *as_json {
        output::json(&json!({"email": email, "role": "ADMIN"}));
    } else {
        output::line(format!("{email} is an administrator"));
    }
    Ok(())
}
