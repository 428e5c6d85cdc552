//! What a database says about its own migrations: which steps it has, and which programs may live with them.

use backshift_core::{StoreError, Timestamp};

use super::line::{Line, Migration};
use crate::{Database, Dialect, FromRow, Row, Sql};

/// The table in which it is written.
pub(super) const BOOK: Sql = Sql {
    pg: "CREATE TABLE IF NOT EXISTS backshift_migrations (line text NOT NULL, version bigint NOT NULL, name text NOT NULL, \
         compatible_from bigint NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(), \
         PRIMARY KEY (line, version))",
    sqlite: "CREATE TABLE IF NOT EXISTS backshift_migrations (line TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, \
             compatible_from INTEGER NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL, \
             PRIMARY KEY (line, version)) STRICT",
};
pub(super) const READ: &str = "SELECT line, version, name, compatible_from, checksum, applied_at FROM backshift_migrations \
     ORDER BY line, version";
pub(super) const WRITE: &str = "INSERT INTO backshift_migrations (line, version, name, compatible_from, checksum, applied_at) \
     VALUES ($1, $2, $3, $4, $5, now())";
/// The book of a state from before lines has no column of that name.
const OLD: &str = "SELECT version FROM backshift_migrations ORDER BY version LIMIT 1";

/// A step that the database has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: String,
    pub(super) version: u32,
    pub(super) name: String,
    pub(super) compatible_from: u32,
    pub(super) checksum: String,
    pub(super) applied_at: Timestamp,
}

impl FromRow for Entry {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            line: row.at(0)?,
            version: row.at(1)?,
            name: row.at(2)?,
            compatible_from: row.at(3)?,
            checksum: row.at(4)?,
            applied_at: row.at(5)?,
        })
    }
}

/// Every step that the database has.
///
/// # Errors
/// `Schema` when a state from before the first release made it.
pub(super) async fn read(db: &Database) -> Result<Vec<Entry>, StoreError> {
    match db.sql(READ).all().await {
        Err(StoreError::Schema(_)) => match db.sql(OLD).optional::<i64>().await {
            // Unless somebody made it between the two questions.
            Ok(_) => db.sql(READ).all().await.map_err(|error| match error {
                StoreError::Schema(_) => StoreError::Schema(
                    "the tables of this database were made by a state of Backshift from before its first release, which \
                     nothing carries over: let that program finish its jobs, then make the database anew (drop it or its \
                     schema, or remove the SQLite file), or name another schema (database.schema, `store::Options::schema`), and run `backshift migrate up`, or open the \
                     site with `.migrate()` in a Rust program"
                        .into(),
                ),
                other => other,
            }),
            Err(StoreError::Schema(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        },
        answer => answer,
    }
}

/// The steps of these lines that are missing, in order.
///
/// # Errors
/// `Schema` when this program cannot live with what is there, or a step was applied in another form.
pub(super) fn missing(
    entries: &[Entry],
    lines: &[&'static Line],
    dialect: Dialect,
) -> Result<Vec<(&'static Line, &'static Migration)>, StoreError> {
    let mut missing = Vec::new();
    for line in lines.iter().copied() {
        refuse_incompatible(line, entries)?;
        for step in line.steps {
            match of(line, entries).find(|entry| entry.version == step.version) {
                None => missing.push((line, step)),
                Some(entry) if entry.checksum == step.checksum(dialect) => {}
                Some(entry) => {
                    return Err(StoreError::Schema(format!(
                        "step {} ({}) of the line {} was applied to this database in another form than this program's; use \
                         the program that applied it, or a fresh database",
                        entry.version, entry.name, line.name
                    )));
                }
            }
        }
    }
    Ok(missing)
}

/// The steps of this line that the database has.
pub(super) fn of<'a>(line: &'a Line, entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
    entries.iter().filter(|entry| entry.line == line.name)
}

/// Refuses tables that a newer program changed in a way that this one cannot work with. Tables to which it only added something
/// are accepted.
pub(super) fn refuse_incompatible(line: &Line, entries: &[Entry]) -> Result<(), StoreError> {
    let oldest = of(line, entries).map(|entry| entry.compatible_from).max().unwrap_or(0);
    let theirs = of(line, entries).map(|entry| entry.version).max().unwrap_or(0);
    let ours = line.latest();
    match oldest > ours {
        true => Err(StoreError::Schema(format!(
            "the line {} of this database is at version {theirs}, which needs a program that knows version {oldest}; this one \
             knows versions up to {ours}: use a newer program",
            line.name
        ))),
        false => Ok(()),
    }
}
