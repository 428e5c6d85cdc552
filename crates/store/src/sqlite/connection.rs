//! How a connection to the file is set up.
//!
//! `now()` and `clock_timestamp()` are defined here, so that statements may say the same on both databases; they
//! answer integer microseconds.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use backshift_core::{StoreError, Timestamp};
use rusqlite::{Connection, OpenFlags, config::DbConfig, functions::FunctionFlags};

use super::fault::{fault, is_busy};

/// How long SQLite itself waits for another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long opening is tried again while another process opens the same new file.
const OPENING: Duration = Duration::from_secs(5);

/// The one connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    make_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = open(path, flags)?;
    refuse_read_only(path, &connection)?;
    let end = Instant::now() + OPENING;
    loop {
        match prepare_writer(&connection) {
            Ok(()) => return Ok(connection),
            Err(e) if is_busy(&e) && Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            Err(e) => return Err(named(path, fault(e))),
        }
    }
}

/// A new file is for its owner alone, because payloads and password hashes stand in it; the log beside it gets the same
/// rights from SQLite. What goes wrong here goes wrong again when SQLite opens it, and is said there.
fn make_private(path: &Path) {
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// SQLite opens what it may not write for reading, without a word, and stays so after the file may be written again.
fn refuse_read_only(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(|e| named(path, fault(e)))? {
        let text = "the database file cannot be written; check the rights of the file, its directory and its file system";
        return Err(named(path, StoreError::Unusable(text.into())));
    }
    Ok(())
}

fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        tracing::warn!(mode, "this file system allows no write-ahead log; SQLite will be slower");
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Undo logs of savepoints stay in memory: they are as large as one group of commands.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| named(path, fault(e)))?;
    let prepare = || -> rusqlite::Result<()> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        connection.set_prepared_statement_cache_capacity(256);
        // Else a statement whose plan looked at a bound value (a LIMIT is enough) is planned again at every call.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        for name in ["now", "clock_timestamp"] {
            connection.create_scalar_function(name, 0, FunctionFlags::SQLITE_UTF8, |_| {
                Ok(Timestamp::now().as_microsecond())
            })?;
        }
        Ok(())
    };
    prepare().map_err(|e| named(path, fault(e)))?;
    Ok(connection)
}

fn named(path: &Path, error: StoreError) -> StoreError {
    let path = path.display();
    match error {
        StoreError::Rejected(text) => StoreError::Rejected(format!("{path}: {text}")),
        StoreError::Unusable(text) => StoreError::Unusable(format!("{path}: {text}")),
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{path}: {text}")),
        other => other,
    }
}
