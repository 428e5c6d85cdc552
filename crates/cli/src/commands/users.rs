//! `backshift users`: the first administrator is made here, because the API lets only administrators make more.

use backshift_store::{Database, migrate::Line};
use serde_json::json;

use crate::{args::Users, config::Config, domains::identity, exit::Failure, output};

/// What it works on.
pub(super) const TABLES: &Line = identity::TABLES;

/// Runs the subcommand.
pub(super) async fn run(command: &Users, config: &Config, database: &Database) -> Result<(), Failure> {
    let Users::GrantAdmin { email, output: wanted } = command;
    identity::grant_admin(config, database, email).await?;
    if wanted.json {
        output::json(&json!({"email": email, "role": "ADMIN"}));
    } else {
        output::line(format!("{email} is an administrator"));
    }
    Ok(())
}
