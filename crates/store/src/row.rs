//! What comes out of a statement: one row type for both databases.
//!
//! PostgreSQL's `numeric` (the type of `sum(bigint)`) is not read: cast it to `bigint` in the statement.

use backshift_core::{Bytes, JobId, StoreError, Timestamp, Token};
use uuid::Uuid;

use crate::{RawCell, postgres::PgRow, sqlite::LiteRow};

/// One row of an answer.
#[derive(Debug)]
pub struct Row(Answer);

/// As the library of that database gave it.
#[derive(Debug)]
pub(crate) enum Answer {
    Pg(PgRow),
    Sqlite(LiteRow),
}

/// Something that a whole row becomes: a tuple in the order of the columns, one scalar, or a `table!` struct.
pub trait FromRow: Sized {
    /// Reads the row; an error names the column.
    fn from_row(row: &Row) -> Result<Self, StoreError>;
}

/// Something that one column becomes. `Option<T>` accepts NULL, everything else refuses it.
pub trait Cell: Sized {
    /// Reads the cell, or says what was found instead.
    fn read(raw: RawCell<'_>) -> Result<Self, String>;
}

impl Row {
    pub(crate) fn of(answer: Answer) -> Self {
        Self(answer)
    }

    /// The column of this name.
    pub fn get<T: Cell>(&self, name: &str) -> Result<T, StoreError> {
        let found = match &self.0 {
            Answer::Pg(row) => row.place_of(name),
            Answer::Sqlite(row) => row.place_of(name),
        };
        let index = found.ok_or_else(|| StoreError::Schema(format!("the answer has no column {name}")))?;
        self.at(index)
    }

    /// The column at this place, from 0.
    pub fn at<T: Cell>(&self, index: usize) -> Result<T, StoreError> {
        let raw = match &self.0 {
            Answer::Pg(row) => row.cell(index),
            Answer::Sqlite(row) => row.cell(index),
        };
        raw.and_then(T::read)
            .map_err(|problem| StoreError::Schema(format!("column {}: {problem}", self.label(index))))
    }

    fn label(&self, index: usize) -> String {
        let name = match &self.0 {
            Answer::Pg(row) => row.name(index),
            Answer::Sqlite(row) => row.name(index),
        };
        name.map_or_else(|| format!("number {index}"), str::to_owned)
    }
}

fn unexpected<T>(raw: RawCell<'_>, wanted: &str) -> Result<T, String> {
    let found = match raw {
        RawCell::Null => "NULL",
        RawCell::Bool(_) => "a boolean",
        RawCell::Int(_) => "an integer",
        RawCell::Real(_) => "a floating-point number",
        RawCell::Text(_) => "text",
        RawCell::Bytes(_) => "bytes",
        RawCell::Uuid(_) => "a UUID",
        RawCell::Time(_) => "a time",
    };
    Err(format!("expected {wanted}, found {found}"))
}

impl<T: Cell> Cell for Option<T> {
    fn read(raw: RawCell<'_>) -> Result<Self, String> {
        if raw == RawCell::Null { Ok(None) } else { T::read(raw).map(Some) }
    }
}

macro_rules! cells {
    ($($cell:ty, $wanted:literal: { $($pattern:pat => $make:expr,)* })*) => {$(
        impl Cell for $cell {
            fn read(raw: RawCell<'_>) -> Result<Self, String> {
                match raw {
                    $($pattern => $make,)*
                    other => unexpected(other, $wanted),
                }
            }
        }
    )*};
}

cells! {
    bool, "a boolean": { RawCell::Bool(v) => Ok(v), RawCell::Int(v) => Ok(v != 0), }
    i64, "an integer": { RawCell::Int(v) => Ok(v), }
    f64, "a number": { RawCell::Real(v) => Ok(v), RawCell::Int(v) => Ok(v as f64), }
    String, "text": { RawCell::Text(v) => Ok(v.to_owned()), RawCell::Uuid(v) => Ok(v.to_string()), }
    Bytes, "bytes": {
        RawCell::Bytes(v) => Ok(Bytes::copy_from_slice(v)),
        RawCell::Text(v) => Ok(Bytes::copy_from_slice(v.as_bytes())),
    }
    Uuid, "a UUID": {
        RawCell::Uuid(v) => Ok(v),
        RawCell::Text(v) => Uuid::parse_str(v).map_err(|e| e.to_string()),
        RawCell::Bytes(v) => Uuid::from_slice(v).map_err(|e| e.to_string()),
    }
    Timestamp, "a time": {
        RawCell::Time(v) => Ok(v),
        RawCell::Int(v) => Timestamp::from_microsecond(v).map_err(|e| e.to_string()),
    }
    serde_json::Value, "JSON": { RawCell::Text(v) => serde_json::from_str(v).map_err(|e| e.to_string()), }
}

macro_rules! small_integers {
    ($($cell:ty),*) => {$(
        impl Cell for $cell {
            fn read(raw: RawCell<'_>) -> Result<Self, String> {
                let wide = i64::read(raw)?;
                <$cell>::try_from(wide).map_err(|_| format!("{wide} is out of range"))
            }
        }
    )*};
}

small_integers!(i16, i32, u8, u16, u32, u64);

impl Cell for JobId {
    fn read(raw: RawCell<'_>) -> Result<Self, String> {
        Uuid::read(raw).map(JobId)
    }
}

impl Cell for Token {
    fn read(raw: RawCell<'_>) -> Result<Self, String> {
        i64::read(raw).map(Token)
    }
}

impl FromRow for () {
    fn from_row(_: &Row) -> Result<Self, StoreError> {
        Ok(())
    }
}

macro_rules! scalar_rows {
    ($($cell:ty),*) => {$(
        impl FromRow for $cell {
            fn from_row(row: &Row) -> Result<Self, StoreError> {
                row.at(0)
            }
        }

        impl FromRow for Option<$cell> {
            fn from_row(row: &Row) -> Result<Self, StoreError> {
                row.at(0)
            }
        }
    )*};
}

scalar_rows!(bool, i64, i32, u32, u64, f64, String, Bytes, Uuid, JobId, Token, Timestamp, serde_json::Value);

macro_rules! tuple_rows {
    ($(($($cell:ident $index:tt),*))*) => {$(
        impl<$($cell: Cell),*> FromRow for ($($cell,)*) {
            fn from_row(row: &Row) -> Result<Self, StoreError> {
                Ok(($(row.at::<$cell>($index)?,)*))
            }
        }
    )*};
}

tuple_rows! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
}
