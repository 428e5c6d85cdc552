//! Cells of a row as Rust values, borrowed where that is possible; an error names the column's place.

use backshift_core::{StoreError, Timestamp};
use rusqlite::{Row, types::ValueRef};

use crate::sqlite::fault;

/// Text that may be missing.
pub(super) fn text<'r>(row: &'r Row<'_>, place: usize) -> Result<Option<&'r str>, StoreError> {
    match row.get_ref(place).map_err(fault)? {
        ValueRef::Null => Ok(None),
        value => value.as_str().map(Some).map_err(|error| wrong(place, error)),
    }
}

/// Bytes that may be missing.
pub(super) fn bytes<'r>(row: &'r Row<'_>, place: usize) -> Result<Option<&'r [u8]>, StoreError> {
    match row.get_ref(place).map_err(fault)? {
        ValueRef::Null => Ok(None),
        value => value.as_bytes().map(Some).map_err(|error| wrong(place, error)),
    }
}

/// A number that may be missing.
pub(super) fn int(row: &Row<'_>, place: usize) -> Result<Option<i64>, StoreError> {
    match row.get_ref(place).map_err(fault)? {
        ValueRef::Null => Ok(None),
        value => value.as_i64().map(Some).map_err(|error| wrong(place, error)),
    }
}

/// A number that must be there and fit.
pub(super) fn number<T: TryFrom<i64>>(row: &Row<'_>, place: usize) -> Result<T, StoreError> {
    let found = int(row, place)?.ok_or_else(|| wrong(place, "it is empty"))?;
    T::try_from(found).map_err(|_| wrong(place, format!("{found} is out of range")))
}

/// A time that must be there.
pub(super) fn time(row: &Row<'_>, place: usize) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(number(row, place)?).map_err(|error| wrong(place, error))
}

pub(super) fn wrong(place: usize, problem: impl std::fmt::Display) -> StoreError {
    StoreError::Schema(format!("column {place} of a job: {problem}"))
}
