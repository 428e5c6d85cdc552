//! Brings a database's tables to the form that this program needs, line by line.
//!
//! Any number of processes may call [`up`] at once: one works under a lock, the others find the work done.

mod adopt;
mod book;
mod line;
mod table;

use backshift_core::{StoreError, Timestamp};

pub use adopt::{Change, What};
pub use line::{ENGINE, Line, Migration};

use adopt::{THERE, There, changes, refuse_foreign};
use book::{BOOK, Entry, READ, WRITE, missing};

use crate::{Database, Dialect, Durability, Executor, Tx, Value, postgres::Pg, remedy::IN_A_PROGRAM, sqlite};

/// A step and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its line.
    pub line: String,
    /// Its number there.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was applied, if it was.
    pub applied_at: Option<Timestamp>,
    /// Whether [`up`] applies it; `false` = its line is not asked for, or only a newer program knows it.
    pub wanted: bool,
}

type Missing = Vec<(&'static Line, &'static Migration)>;

/// Applies what is missing of these lines, all or nothing; the steps that were applied now. Tables that somebody else made are
/// left alone: see [`up_adopting`].
///
/// # Errors
/// `Schema` when this program cannot live with what a newer one made, when a step was applied in another form, or when a table
/// of somebody else has the name of one of ours.
pub async fn up(db: &Database, lines: &[&'static Line]) -> Result<Vec<Step>, StoreError> {
    up_adopting(db, lines, &[]).await
}

/// The same, and takes over the tables of these names that are there already: they keep their rows and gain columns.
///
/// # Errors
/// As [`up`].
pub async fn up_adopting(
    db: &Database,
    lines: &[&'static Line],
    adopt: &[String],
) -> Result<Vec<Step>, StoreError> {
    // Outside of the transaction, which ends with the error that an old book gives.
    book::read(db).await?;
    match db {
        Database::Pg(pg) => up_postgres(pg, lines, adopt).await,
        Database::Sqlite(file) => {
            let (lines, adopt) = (lines.to_vec(), adopt.to_vec());
            let work = move |connection: &sqlite::Connection| up_sqlite(connection, &lines, &adopt);
            file.write(Durability::Strict, work).await
        }
    }
}

/// What [`up_adopting`] would do to tables, and changes nothing.
///
/// # Errors
/// `Schema` as [`up`], but for tables of somebody else, which are in the answer.
pub async fn preview(
    db: &Database,
    lines: &[&'static Line],
    adopt: &[String],
) -> Result<Vec<Change>, StoreError> {
    let steps = missing(&book::read(db).await?, lines, db.dialect())?;
    let there: Vec<There> = db.sql(THERE).all().await?;
    Ok(changes(&steps, &there, adopt, db.dialect()))
}

/// The refusal of [`up_adopting`] for these changes, if it refuses.
pub fn refusal(changes: &[Change]) -> Option<StoreError> {
    refuse_foreign(changes).err()
}

/// Every step of these lines, wanted or not, and every one that the database has.
///
/// # Errors
/// `Schema` when a state from before the first release made the tables.
pub async fn status(
    db: &Database,
    wanted: &[&'static Line],
    others: &[&'static Line],
) -> Result<Vec<Step>, StoreError> {
    let is_wanted = |line: &Line| wanted.iter().any(|one| one.name == line.name);
    let known = wanted.iter().chain(others.iter().filter(|line| !is_wanted(line)));
    let mut steps: Vec<Step> = known
        .flat_map(|line| line.steps.iter().map(move |step| (line, step)))
        .map(|(line, step)| Step { applied_at: None, wanted: is_wanted(line), ..done(line, step) })
        .collect();
    for Entry { line, version, name, applied_at, .. } in book::read(db).await? {
        match steps.iter_mut().find(|step| step.line == line && step.version == version) {
            Some(step) => step.applied_at = Some(applied_at),
            None => {
                let after = steps.iter().rposition(|step| step.line == line).map_or(steps.len(), |at| at + 1);
                let step = Step { line, version, name, applied_at: Some(applied_at), wanted: false };
                steps.insert(after, step);
            }
        }
    }
    Ok(steps)
}

/// The names of the lines that the database has.
///
/// # Errors
/// `Schema` when a state from before the first release made the tables.
pub async fn lines_in(db: &Database) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = book::read(db).await?.into_iter().map(|entry| entry.line).collect();
    names.dedup();
    Ok(names)
}

/// The whole schema as one script, for people who apply it with their own tools.
pub fn sql(dialect: Dialect, lines: &[&'static Line]) -> String {
    let mut script = format!("{};\n", BOOK.text(dialect));
    let now = if dialect == Dialect::Postgres { "now()" } else { "unixepoch() * 1000000" };
    for (line, step) in lines.iter().flat_map(|line| line.steps.iter().map(move |step| (line, step))) {
        let Migration { version, name, compatible_from, text } = step;
        script.push_str(&format!(
            "\n-- {} {version} {name}\n{}\nINSERT INTO backshift_migrations (line, version, name, compatible_from, checksum, \
             applied_at) VALUES ('{}', {version}, '{name}', {compatible_from}, '{}', {now});\n",
            line.name,
            text.text(dialect).trim_end(),
            line.name,
            step.checksum(dialect)
        ));
    }
    script
}

/// Whether this program may work with these lines of the database as they are: a newer form that only added is one of them.
///
/// # Errors
/// `Schema` with the command to run, or with both versions when the database is ahead of the program.
pub async fn check(db: &Database, lines: &[&'static Line]) -> Result<(), StoreError> {
    let entries = book::read(db).await?;
    for line in lines.iter().copied() {
        book::refuse_incompatible(line, &entries)?;
        let has = |step: &&Migration| book::of(line, &entries).any(|entry| entry.version == step.version);
        let Some(step) = line.steps.iter().find(|step| !has(step)) else { continue };
        let at = match book::of(line, &entries).map(|entry| entry.version).max() {
            Some(version) => format!("is at version {version} of the line {}", line.name),
            None if entries.is_empty() => "has no Backshift tables".to_owned(),
            None => format!("has not the tables of the line {}", line.name),
        };
        let remedy = match line.name == ENGINE.name {
            true => format!("`backshift migrate up`, {IN_A_PROGRAM}"),
            false => format!("`backshift migrate up --line {}`", line.name),
        };
        return Err(StoreError::Schema(format!(
            "the database {at} and this program needs step {} ({}); run {remedy}",
            step.version, step.name
        )));
    }
    Ok(())
}

async fn up_postgres(pg: &Pg, lines: &[&'static Line], adopt: &[String]) -> Result<Vec<Step>, StoreError> {
    /// One program at a time migrates a schema. While the schema is missing `current_schema()` is NULL, and the search path, which
    /// names it, makes the key. Whoever sees the schema afterwards may lock another key, but the schema became visible only when
    /// the first program committed, with its work done.
    const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('backshift migrations of ' || \
        COALESCE(current_schema()::text, current_setting('search_path')), 0))";
    let tx = pg.begin(Durability::Strict).await?;
    // Adopting large tables takes its time; the lock keeps other instances waiting. What is there already is no news for the
    // user's log, in which the client library writes every NOTICE.
    tx.script(
        "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; SET LOCAL client_min_messages = 'warning'",
    )
    .await?;
    tx.script(LOCK).await?;
    let tx = Tx::Pg(tx);
    make_schema(pg, &tx).await?;
    tx.sql(BOOK).run().await?;
    let steps: Missing = missing(&tx.sql(READ).all::<Entry>().await?, lines, Dialect::Postgres)?;
    if steps.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    refuse_foreign(&changes(&steps, &tx.sql(THERE).all::<There>().await?, adopt, Dialect::Postgres))?;
    for (line, step) in &steps {
        let Tx::Pg(inner) = &tx else { break };
        inner.script(step.text.pg).await.map_err(|error| named(line, step, &error))?;
        let write = tx.sql(WRITE).bind(line.name).bind(step.version).bind(step.name);
        write.bind(step.compatible_from).bind(step.checksum(Dialect::Postgres)).run().await?;
    }
    tx.commit().await?;
    Ok(steps.iter().map(|(line, step)| done(line, step)).collect())
}

/// Makes the schema of `database.schema`. Asked first: CREATE … IF NOT EXISTS wants a right on the database also where
/// nothing is to be made.
async fn make_schema(pg: &Pg, tx: &Tx) -> Result<(), StoreError> {
    let Some((name, create)) = pg.own_schema() else { return Ok(()) };
    let there = tx.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(name).optional::<i64>().await?;
    match (there, tx) {
        (None, Tx::Pg(inner)) => inner.script(&create).await,
        _ => Ok(()),
    }
}

fn up_sqlite(
    connection: &sqlite::Connection,
    lines: &[&'static Line],
    adopt: &[String],
) -> Result<Vec<Step>, StoreError> {
    sqlite::script(connection, BOOK.sqlite)?;
    let entries: Vec<Entry> = sqlite::query(connection, READ, &[])?;
    let steps: Missing = missing(&entries, lines, Dialect::Sqlite)?;
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let there: Vec<There> = sqlite::query(connection, THERE.sqlite, &[])?;
    refuse_foreign(&changes(&steps, &there, adopt, Dialect::Sqlite))?;
    for (line, step) in &steps {
        sqlite::script(connection, step.text.sqlite).map_err(|error| named(line, step, &error))?;
        let entry: [Value; 5] = [
            line.name.into(),
            step.version.into(),
            step.name.into(),
            step.compatible_from.into(),
            step.checksum(Dialect::Sqlite).into(),
        ];
        sqlite::run(connection, WRITE, &entry)?;
    }
    Ok(steps.iter().map(|(line, step)| done(line, step)).collect())
}

fn done(line: &Line, step: &Migration) -> Step {
    let (line, version, name) = (line.name.into(), step.version, step.name.into());
    Step { line, version, name, applied_at: Some(Timestamp::now()), wanted: true }
}

fn named(line: &Line, step: &Migration, error: &StoreError) -> StoreError {
    let (line, version, name) = (line.name, step.version, step.name);
    StoreError::Schema(format!("step {version} ({name}) of the line {line} failed: {error}"))
}
