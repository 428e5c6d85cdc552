//! Opens the store and makes sure that it may be worked with: schema in place, settings that keep promises.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use backshift_core::StoreError;
use backshift_store::{
    Database, Durability, Options, check, liveness,
    migrate::{self, Line},
    sqlite,
};

use super::{adopted, and_what_is_there, lines, lines_with, private, protect, server_of};
use crate::{
    config::{Config, keys},
    domains::Role,
    exit::{Failure, Server},
};

/// What to do about a schema that is not there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schema {
    /// Refuse with the command to run, or run it when `migrate = "auto"`.
    Configured,
    /// The same, and the tables of this domain are needed whether it is switched on here or not.
    With(&'static Line),
    /// Bring it up with every domain: `dev`, where nobody else could.
    BringUp,
}

impl Schema {
    fn lines(self, config: &Config) -> Vec<&'static Line> {
        match self {
            Self::Configured => lines(config, Role::Site),
            Self::With(line) => lines_with(config, &[line]),
            Self::BringUp => lines(config, Role::Dev),
        }
    }
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
        connections: config.get(&keys::DATABASE_CONNECTIONS),
        durability: if config.get(&keys::DURABILITY) == "strict" {
            Durability::Strict
        } else {
            Durability::Relaxed
        },
        create: missing == Missing::Make,
        schema: config.some(&keys::DATABASE_SCHEMA).map(str::to_owned),
        ca_file: config.some(&keys::DATABASE_CA_FILE).map(Into::into),
        ..Options::default()
    };
    let database = Database::open(url, &options).map_err(|error| {
        let place = server_of(config, Server::Store);
        Failure::configuration(format!("{place}: {error}"))
    })?;
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
    answers(config, database).await?;
    let needed = schema.lines(config);
    if matches!(schema, Schema::BringUp) || comes_up_by_itself(config, database) {
        bring_up(config, database, needed.clone()).await.map_err(schema_failure)?;
    }
    migrate::check(database, &needed).await.map_err(schema_failure)
}

/// Applies what is missing of these lines and of those that the database has.
pub(crate) async fn bring_up(
    config: &Config,
    database: &Database,
    wanted: Vec<&'static Line>,
) -> Result<Vec<migrate::Step>, StoreError> {
    let wanted = and_what_is_there(database, wanted).await?;
    migrate::up_adopting(database, &wanted, &adopted(config)).await
}

/// What becomes of the schema without anybody's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// It fits.
    Nothing,
    /// The next start brings it up.
    NextStart,
}

impl Pending {
    /// As the end of a sentence about it.
    pub(crate) fn told(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::NextStart => "; the next start brings the schema up (migrate = auto, or an embedded file)",
        }
    }
}

/// The same questions as [`prepare`], and nothing is changed.
pub(crate) async fn look_at(config: &Config, database: &Database) -> Result<Pending, Failure> {
    answers(config, database).await?;
    let lines = lines(config, Role::Site);
    let Err(error) = migrate::check(database, &lines).await else { return Ok(Pending::Nothing) };
    let by_itself = comes_up_by_itself(config, database);
    let steps = migrate::status(database, &lines, &[]).await.map_err(schema_failure)?;
    // A step that only a newer program knows is nothing that a start of this one mends.
    let missing = steps.iter().any(|step| step.wanted && step.applied_at.is_none());
    match matches!(error, StoreError::Schema(_)) && by_itself && missing {
        true => Ok(Pending::NextStart),
        false => Err(schema_failure(error)),
    }
}

/// Whether it answers, can show signs of life and keeps promises; its schema is another question.
async fn answers(config: &Config, database: &Database) -> Result<(), Failure> {
    database.ping().await.map_err(schema_failure)?;
    liveness::check(database).map_err(schema_failure)?;
    refuse_unsafe(config, database).await
}

/// Whether any start brings the schema up. Nobody else could do so for a file that only this machine sees.
fn comes_up_by_itself(config: &Config, database: &Database) -> bool {
    config.get(&keys::MIGRATE) == "auto" || matches!(database, Database::Sqlite(_))
}

/// A schema, a password or a database that does not fit is a matter of configuration; a server that is away is not.
pub(crate) fn schema_failure(error: StoreError) -> Failure {
    match error {
        StoreError::Rejected(_) | StoreError::Taken { .. } | StoreError::NotFound(_) | StoreError::Stale => {
            Failure::configuration(error)
        }
        other => other.into(),
    }
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
    if config.get(&keys::ALLOW_UNSAFE_SERVER) {
        found.iter().for_each(|finding| tracing::warn!(%finding, "accepted by allow_unsafe_server"));
        return Ok(());
    }
    let causes: Vec<String> = found
        .iter()
        .map(|finding| format!("{finding} (or accept the loss with BACKSHIFT_ALLOW_UNSAFE_SERVER=true)"))
        .collect();
    Err(Failure::configuration(causes.join("\n")))
}
