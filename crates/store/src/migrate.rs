//! Brings a database's tables to the form that this program needs; every file is additive.
//!
//! Any number of processes may call [`up`] at once: one works under a lock, the others find the work done.

use backshift_core::{StoreError, Timestamp};
use sha2::{Digest, Sha256};

use crate::{Database, Dialect, Durability, Sql, sqlite};

/// One step: the same change in the words of both databases.
struct Migration {
    version: u32,
    name: &'static str,
    text: Sql,
}

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            text: Sql {
                pg: include_str!(concat!("../migrations/", $file, ".pg.sql")),
                sqlite: include_str!(concat!("../migrations/", $file, ".sqlite.sql")),
            },
        }
    };
}

/// In order. A file that was released is never changed again; `up` compares its checksum.
const MAIN: &[Migration] = &[
    migration!(1, "ledger", "0001_ledger"),
    migration!(2, "control", "0002_control"),
    migration!(3, "identity", "0003_identity"),
    migration!(4, "mail", "0004_mail"),
    migration!(5, "lean_indexes", "0005_lean_indexes"),
    migration!(6, "auth_counts", "0006_auth_counts"),
    migration!(7, "line", "0007_line"),
    migration!(8, "hands", "0008_hands"),
];

/// The tables of the probe kind (docs/contracts/probe.md); numbered apart, they are no part of the schema's version.
const PROBE: &[Migration] = &[migration!(9001, "probe", "probe")];
const FIRST_OPTIONAL: u32 = 9000;

/// Which tables are wanted beside the main ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// The probe kind's tables.
    pub probe: bool,
}

/// A step and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was applied, if it was.
    pub applied_at: Option<Timestamp>,
    /// Whether [`up`] applies it; `false` = its tables are not asked for, or only a newer program knows it.
    pub wanted: bool,
}

const BOOK: Sql = Sql {
    pg: "CREATE TABLE IF NOT EXISTS backshift_migrations (version bigint PRIMARY KEY, name text NOT NULL, \
         checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
    sqlite: "CREATE TABLE IF NOT EXISTS backshift_migrations (version INTEGER PRIMARY KEY NOT NULL, \
             name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
};
const READ: &str = "SELECT version, name, checksum, applied_at FROM backshift_migrations ORDER BY version";
const WRITE: &str =
    "INSERT INTO backshift_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, now())";

type Entry = (u32, String, String, Timestamp);

/// Applies what is missing, all or nothing; the steps that were applied now.
///
/// # Errors
/// `Schema` when the database was changed by a newer program, or a step was applied in another form.
pub async fn up(db: &Database, extras: Extras) -> Result<Vec<Step>, StoreError> {
    match db {
        Database::Pg(pg) => up_postgres(pg, extras).await,
        Database::Sqlite(file) => {
            let work = move |connection: &rusqlite::Connection| up_sqlite(connection, extras);
            file.write(Durability::Strict, work).await
        }
    }
}

/// Every step that this program knows, and every one that the database has.
pub async fn status(db: &Database, extras: Extras) -> Result<Vec<Step>, StoreError> {
    let applied = applied(db).await?;
    let is_wanted = |version| wanted(extras).any(|m| m.version == version);
    let mut steps: Vec<Step> = wanted(Extras { probe: true })
        .map(|m| Step {
            version: m.version,
            name: m.name.into(),
            applied_at: None,
            wanted: is_wanted(m.version),
        })
        .collect();
    for (version, name, _, at) in applied {
        match steps.iter_mut().find(|step| step.version == version) {
            Some(step) => step.applied_at = Some(at),
            None => steps.push(Step { version, name, applied_at: Some(at), wanted: false }),
        }
    }
    steps.sort_by_key(|step| step.version);
    Ok(steps)
}

/// The whole schema as one script, for people who apply it with their own tools.
pub fn sql(dialect: Dialect, extras: Extras) -> String {
    let mut script = format!("{};\n", BOOK.text(dialect));
    for step in wanted(extras) {
        let (version, name, text) = (step.version, step.name, step.text.text(dialect));
        let now = if dialect == Dialect::Postgres { "now()" } else { "unixepoch() * 1000000" };
        script.push_str(&format!(
            "\n-- {version} {name}\n{}\nINSERT INTO backshift_migrations (version, name, checksum, applied_at) \
             VALUES ({version}, '{name}', '{}', {now}) ON CONFLICT DO NOTHING;\n",
            text.trim_end(),
            checksum(text)
        ));
    }
    script
}

/// Whether this program may work with the database as it is.
///
/// # Errors
/// `Schema` with the command to run, or with both versions when the database is ahead of the program.
pub async fn check(db: &Database, extras: Extras) -> Result<(), StoreError> {
    let applied = applied(db).await?;
    refuse_newer(&applied)?;
    let missing = wanted(extras).find(|step| !applied.iter().any(|entry| entry.0 == step.version));
    let Some(missing) = missing else { return Ok(()) };
    let has = applied.iter().map(|e| e.0).filter(|v| *v < FIRST_OPTIONAL).max();
    let has = has.map_or_else(|| "has no Backshift tables".into(), |v| format!("is at version {v}"));
    Err(StoreError::Schema(format!(
        "the database {has} and this program needs step {} ({}); run `backshift migrate up`",
        missing.version, missing.name
    )))
}

async fn applied(db: &Database) -> Result<Vec<Entry>, StoreError> {
    match db.sql(READ).all().await {
        Err(StoreError::Schema(_)) => Ok(Vec::new()),
        answer => answer,
    }
}

async fn up_postgres(pg: &crate::postgres::Pg, extras: Extras) -> Result<Vec<Step>, StoreError> {
    let tx = pg.begin(Durability::Strict).await?;
    // Adopting large tables takes its time; the lock keeps other instances waiting.
    tx.script("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'").await?;
    tx.script("SELECT pg_advisory_xact_lock(7206131746001)").await?;
    let tx = crate::Tx::Pg(tx);
    make_schema(pg, &tx).await?;
    tx.sql(BOOK).run().await?;
    let applied: Vec<Entry> = tx.sql(READ).all().await?;
    let mut steps = Vec::new();
    for migration in missing(&applied, extras, Dialect::Postgres)? {
        let crate::Tx::Pg(inner) = &tx else { break };
        inner.script(migration.text.pg).await.map_err(|e| named(migration, &e))?;
        tx.sql(WRITE)
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum(migration.text.pg))
            .run()
            .await?;
        steps.push(done(migration));
    }
    tx.commit().await?;
    Ok(steps)
}

/// Makes the schema of `database.schema`. Asked first: CREATE … IF NOT EXISTS wants a right on the database also where
/// nothing is to be made.
async fn make_schema(pg: &crate::postgres::Pg, tx: &crate::Tx) -> Result<(), StoreError> {
    let Some((name, create)) = pg.own_schema() else { return Ok(()) };
    let there = tx.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(name).optional::<i64>().await?;
    match (there, tx) {
        (None, crate::Tx::Pg(inner)) => inner.script(&create).await,
        _ => Ok(()),
    }
}

fn up_sqlite(connection: &rusqlite::Connection, extras: Extras) -> Result<Vec<Step>, StoreError> {
    connection.execute_batch(BOOK.sqlite).map_err(sqlite::fault)?;
    let applied: Vec<Entry> = sqlite::query(connection, READ, &[])?;
    let mut steps = Vec::new();
    for migration in missing(&applied, extras, Dialect::Sqlite)? {
        let text = migration.text.sqlite;
        connection.execute_batch(text).map_err(|e| named(migration, &sqlite::fault(e)))?;
        let entry = [migration.version.into(), migration.name.into(), checksum(text).into()];
        sqlite::run(connection, WRITE, &entry)?;
        steps.push(done(migration));
    }
    Ok(steps)
}

fn wanted(extras: Extras) -> impl Iterator<Item = &'static Migration> {
    MAIN.iter().chain(if extras.probe { PROBE } else { &[] })
}

fn missing(
    applied: &[Entry],
    extras: Extras,
    dialect: Dialect,
) -> Result<Vec<&'static Migration>, StoreError> {
    refuse_newer(applied)?;
    let mut missing = Vec::new();
    for migration in wanted(extras) {
        match applied.iter().find(|entry| entry.0 == migration.version) {
            None => missing.push(migration),
            Some(entry) if entry.2 == checksum(migration.text.text(dialect)) => {}
            Some(entry) => {
                return Err(StoreError::Schema(format!(
                    "step {} ({}) was applied to this database in another form than this program's; use the program \
                     that applied it, or a fresh database",
                    entry.0, entry.1
                )));
            }
        }
    }
    Ok(missing)
}

fn refuse_newer(applied: &[Entry]) -> Result<(), StoreError> {
    let ours = MAIN.iter().map(|m| m.version).max().unwrap_or(0);
    match applied.iter().map(|e| e.0).filter(|v| *v < FIRST_OPTIONAL).max() {
        Some(theirs) if theirs > ours => Err(StoreError::Schema(format!(
            "the database is at version {theirs} and this program knows versions up to {ours}; use a newer program"
        ))),
        _ => Ok(()),
    }
}

fn done(migration: &Migration) -> Step {
    let (version, name) = (migration.version, migration.name.into());
    Step { version, name, applied_at: Some(Timestamp::now()), wanted: true }
}

fn named(migration: &Migration, error: &StoreError) -> StoreError {
    StoreError::Schema(format!("step {} ({}) failed: {error}", migration.version, migration.name))
}

fn checksum(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
