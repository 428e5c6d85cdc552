//! Opens the store and makes sure that it may be worked with: schema in place, settings that keep promises.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use backshift_store::{Database, Durability, Options, check, liveness, migrate, sqlite};

use super::{private, protect};
use crate::{
    config::{Config, without_password},
    exit::Failure,
};

/// What to do about a schema that is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// Refuse with the command to run, or run it when `migrate = "auto"`.
    Configured,
    /// Bring it up: `dev` and the embedded file, where nobody else could.
    BringUp,
}

/// What becomes of a SQLite file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is made, with its directory.
    Make,
    /// The command has nothing to look at: a mistyped path leaves nothing behind.
    Refuse,
}

/// The database at this URL; connects to nothing yet when it is a server.
pub(crate) fn open_database(config: &Config, url: &str, missing: Missing) -> Result<Database, Failure> {
    if missing == Missing::Make
        && let Some(file) = file_of(url)
    {
        make_room(config, &file)?;
    }
    let options = Options {
        connections: config.number("database.connections") as usize,
        durability: if config.text("durability") == "strict" {
            Durability::Strict
        } else {
            Durability::Relaxed
        },
        create: missing == Missing::Make,
        schema: config.some("database.schema").map(str::to_owned),
        ca_file: config.some("database.ca_file").map(Into::into),
        ..Options::default()
    };
    let database = Database::open(url, &options)
        .map_err(|error| Failure::configuration(format!("store {}: {error}", without_password(url))))?;
    protect(config, database.ways())?;
    Ok(database)
}

/// The file of a SQLite database; what the URL of one has wrong is said when it is opened.
pub(crate) fn file_of(url: &str) -> Option<PathBuf> {
    match url.split_once(':')?.0 {
        "sqlite" | "embedded" => sqlite::path_of(url).ok(),
        _ => None,
    }
}

/// Makes the directory of a database file, for its owner alone. In our own one everything is for us alone, and what is not is refused.
fn make_room(config: &Config, file: &Path) -> Result<(), Failure> {
    let Some(parent) = file.parent() else { return Ok(()) };
    if private::is_same(parent, config.data_dir()) {
        private::directory(parent)?;
        private::database(file)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| {
        Failure::configuration(format!("the directory of {} cannot be made: {error}", file.display()))
    })
}

/// Asks the database once: does it answer, does it keep promises, does its schema fit?
pub(crate) async fn prepare(config: &Config, database: &Database, schema: Schema) -> Result<(), Failure> {
    database.ping().await.map_err(schema_failure)?;
    liveness::check(database)?;
    // Nobody else could bring up a file that only this machine sees.
    let schema = if matches!(database, Database::Sqlite(_)) { Schema::BringUp } else { schema };
    refuse_unsafe(config, database).await?;
    let extras = extras(config);
    if schema == Schema::BringUp || config.text("migrate") == "auto" {
        migrate::up(database, extras).await.map_err(schema_failure)?;
    }
    migrate::check(database, extras).await.map_err(schema_failure)
}

/// The optional tables that this configuration needs.
pub(crate) fn extras(config: &Config) -> migrate::Extras {
    migrate::Extras { probe: config.switch("probe") }
}

/// A schema, a password or a database that does not fit is a matter of configuration; a server that is away is not.
pub(crate) fn schema_failure(error: backshift_core::StoreError) -> Failure {
    if error.is_transient() { error.into() } else { Failure::configuration(error) }
}

/// Settings that lose accepted work end the start, unless somebody accepts them.
async fn refuse_unsafe(config: &Config, database: &Database) -> Result<(), Failure> {
    let found = match check::settings(database).await {
        Ok(found) => found,
        Err(error) if error.is_transient() => return Err(error.into()),
        Err(error) => return Err(Failure::configuration(error)),
    };
    if found.is_empty() {
        return Ok(());
    }
    if config.switch("allow_unsafe_server") {
        found.iter().for_each(|finding| tracing::warn!(%finding, "accepted by allow_unsafe_server"));
        return Ok(());
    }
    let causes: Vec<String> = found
        .iter()
        .map(|finding| format!("{finding} (or accept the loss with BACKSHIFT_ALLOW_UNSAFE_SERVER=true)"))
        .collect();
    Err(Failure::configuration(causes.join("\n")))
}
