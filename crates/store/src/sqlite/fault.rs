//! What SQLite's errors mean for a caller, in words that name the remedy.
//!
//! A failed write leaves what was accepted before untouched; the text says so where people worry.

use backshift_core::StoreError;
use rusqlite::{
    Error, ErrorCode,
    ffi::{
        self, SQLITE_CONSTRAINT_PRIMARYKEY as PRIMARY_KEY, SQLITE_CONSTRAINT_ROWID as ROWID,
        SQLITE_CONSTRAINT_UNIQUE as UNIQUE,
    },
};

use crate::remedy::MISSING;

/// The error as the port phrases it.
pub fn fault(error: Error) -> StoreError {
    let (code, words) = match &error {
        Error::SqliteFailure(code, words) => (code, words.clone().unwrap_or_else(|| error.to_string())),
        // A statement that does not fit the tables.
        Error::SqlInputError { error: code, msg, .. } => (code, msg.clone()),
        _ => return StoreError::Rejected(format!("SQLite: {error}")),
    };
    match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Unavailable(
            "the database file is locked by another process; it is tried again as long as the call may take".into(),
        ),
        ErrorCode::DiskFull => StoreError::Unavailable(
            "the disk of the database file is full; free some space. What was accepted before is kept, this was not \
             accepted"
                .into(),
        ),
        ErrorCode::ReadOnly => StoreError::Unusable(format!(
            "the database file cannot be written ({words}); check the rights of the file and its directory"
        )),
        ErrorCode::NotADatabase => {
            StoreError::Unusable("the file is not a SQLite database; choose another path".into())
        }
        ErrorCode::DatabaseCorrupt => StoreError::Unusable(format!(
            "the database file is damaged ({words}); stop every process, keep a copy and restore a backup or use \
             `sqlite3 FILE .recover`"
        )),
        ErrorCode::CannotOpen => StoreError::Unusable(format!(
            "the database file cannot be opened ({words}); its directory must exist and be writable"
        )),
        ErrorCode::SystemIoFailure => StoreError::Unavailable(format!("the disk failed: {words}")),
        ErrorCode::OperationInterrupted => {
            StoreError::Unavailable("the statement took too long and was stopped".into())
        }
        ErrorCode::OutOfMemory => StoreError::Unavailable("SQLite is out of memory".into()),
        _ if words.starts_with("no such table") || words.contains("no such column") => {
            StoreError::Schema(format!("SQLite: {words}; {MISSING}"))
        }
        _ if matches!(code.extended_code, UNIQUE | PRIMARY_KEY | ROWID) => {
            let (_, rule) = words.rsplit_once(": ").unwrap_or_default();
            StoreError::Taken { rule: rule.to_owned(), text: format!("SQLite: {words}") }
        }
        _ => StoreError::Rejected(format!("SQLite: {words}")),
    }
}

/// What a result code means, whichever client library brought it.
#[cfg(feature = "sqlx")]
pub(crate) fn by_code(code: i32, words: String) -> StoreError {
    fault(Error::SqliteFailure(ffi::Error::new(code), Some(words)))
}

/// Another process holds the lock; the same call may succeed in a moment.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// The disk did not confirm: nobody knows any more what it holds, so nothing may be written after it.
pub(super) fn is_lost_sync(error: &Error) -> bool {
    let fsyncs = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
    matches!(error, Error::SqliteFailure(code, _) if fsyncs.contains(&code.extended_code))
}
