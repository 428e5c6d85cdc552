//! A database file of its own for each measurement, with Backshift's tables, filled and judged by plain SQL.
//!
//! It lies where the build lies and not in the folder for temporary files, which may be memory: then no sync would
//! cost anything.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use backshift_store::{Database, Options, migrate};
use rusqlite::{Connection, params};
use tempfile::TempDir;
use uuid::Uuid;

use crate::harness::Seen;

/// The queue of every arm.
pub(crate) const QUEUE: &str = "bench";
/// The kind of every job.
pub(crate) const KIND: &str = "bench";
/// Rows of one transaction while a file is filled.
const FILL: usize = 10_000;

/// How sure a commit is.
#[derive(Clone, Copy)]
pub(crate) enum Sync {
    /// Synced before it is answered.
    Full,
    /// Synced at the next checkpoint.
    Normal,
}

/// A row as an enqueue writes it: `$1` id, `$2` time, `$3` payload, `$4` hash.
pub(crate) const INSERT: &str = "INSERT INTO background_jobs (id, job_type, status, created_at, updated_at, queue, \
     broker, payload, payload_hash, payload_size, run_at) \
     VALUES (?1, 'bench', 'available', ?2, ?2, 'bench', 'embedded', ?3, ?4, length(?3), ?2)";

/// A folder for one measurement, beside the program; deleted when it is dropped.
pub(crate) fn folder() -> Result<TempDir> {
    let here = std::env::current_exe().context("where the program is")?;
    let beside = here.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    Ok(tempfile::Builder::new().prefix("bench-sqlite-").tempdir_in(beside)?)
}

/// The file; deleted when it is dropped.
pub(crate) struct JobFile {
    folder: TempDir,
    jobs: usize,
}

impl JobFile {
    /// An empty file with Backshift's tables.
    pub(crate) async fn make() -> Result<Self> {
        let folder = folder()?;
        let file = Self { folder, jobs: 0 };
        let database = file.open()?;
        migrate::up(&database, &[&migrate::ENGINE]).await?;
        database.close().await;
        Ok(file)
    }

    /// The same with this many waiting jobs.
    pub(crate) async fn filled(jobs: usize) -> Result<Self> {
        let mut file = Self::make().await?;
        file.jobs = jobs;
        tokio::task::block_in_place(|| file.fill())?;
        Ok(file)
    }

    /// Through Backshift's own layer.
    pub(crate) fn open(&self) -> Result<Database> {
        Ok(Database::open(&format!("embedded:{}", self.path().display()), &Options::default())?)
    }

    /// A plain connection with the settings that Backshift's writer has.
    pub(crate) fn connect(&self, sync: Sync) -> Result<Connection> {
        let connection = Connection::open(self.path())?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        let sync = match sync {
            Sync::Full => "FULL",
            Sync::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", sync)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    /// Jobs that wait or run, by the two small indexes that hold exactly those.
    pub(crate) fn unfinished(connection: &Connection) -> Result<usize> {
        let count = |text: &str| connection.query_row(text, [], |row| row.get::<_, i64>(0));
        let running = count("SELECT COUNT(*) FROM background_jobs WHERE status = 'running'")?;
        let waiting = count(
            "SELECT COUNT(*) FROM background_jobs WHERE status = 'available' AND broker = 'embedded' AND crashes < 3",
        )?;
        Ok(usize::try_from(running + waiting)?)
    }

    /// # Errors
    /// Unless the file shows every job as completed by its first start.
    pub(crate) fn check(&self, jobs: usize) -> Result<()> {
        let connection = self.connect(Sync::Normal)?;
        let (rows, done): (i64, i64) = connection.query_row(
            "SELECT COUNT(*), COALESCE(SUM(status = 'completed' AND token = 1 AND finished_at >= started_at), 0) \
             FROM background_jobs",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let jobs = i64::try_from(jobs)?;
        ensure!(
            rows == jobs && done == jobs,
            "the file shows {done} jobs as done once, of {rows}, not of {jobs}"
        );
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("jobs.db")
    }

    fn fill(&self) -> Result<()> {
        let mut connection = self.connect(Sync::Normal)?;
        let mut number = 0;
        while number < self.jobs {
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached(INSERT)?;
                for _ in 0..FILL.min(self.jobs - number) {
                    insert.execute(params![new_id(), now(), Seen::payload(number), [0_u8; 32]])?;
                    number += 1;
                }
            }
            transaction.commit()?;
        }
        connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").or_else(|error| match error {
            // The pragma answers a row, which this call does not expect.
            rusqlite::Error::ExecuteReturnedResults => Ok(()),
            other => Err(other),
        })?;
        Ok(())
    }
}

/// An id as Backshift makes them.
pub(crate) fn new_id() -> String {
    Uuid::now_v7().as_hyphenated().to_string()
}

/// Microseconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
