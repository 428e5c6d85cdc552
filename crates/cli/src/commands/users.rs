//! `backshift users`: the first administrator is made here, because the API lets only administrators make more.

use backshift_core::identity::IdentityError;
use backshift_store::Database;
use serde_json::json;

use crate::{
    args::Users,
    config::Config,
    exit::Failure,
    output,
    wiring::{Keys, identity_service},
};

/// Runs the subcommand.
pub(super) async fn run(command: &Users, config: &Config, database: &Database) -> Result<(), Failure> {
    let Users::GrantAdmin { email, output: wanted } = command;
    let accounts = identity_service(config, database, &Keys::passing(config), false)?;
    accounts.grant_admin(email).await.map_err(|error| match error {
        IdentityError::Internal(text) => Failure::unreachable(text),
        IdentityError::Business { code: 110_003, .. } => {
            Failure::failed(format!("{email} has no account: register it first"))
        }
        other => Failure::failed(other),
    })?;
    if wanted.json {
        output::json(&json!({"email": email, "role": "ADMIN"}));
    } else {
        output::line(format!("{email} is an administrator"));
    }
    Ok(())
}
