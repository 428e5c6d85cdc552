//! What comes out of a statement: one row type for both databases.
//!
//! PostgreSQL's `numeric` (the type of `sum(bigint)`) is not read: cast it to `bigint` in the statement.

use std::{error::Error, sync::Arc};

use backshift_core::{Bytes, JobId, StoreError, Timestamp, Token};
use tokio_postgres::types::{FromSql, Kind as PgKind, Type};
use uuid::Uuid;

/// One row of an answer.
#[derive(Debug)]
pub struct Row(Answer);

#[derive(Debug)]
enum Answer {
    Pg(tokio_postgres::Row),
    Sqlite { names: Arc<[String]>, values: Vec<rusqlite::types::Value> },
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

/// A cell before its meaning is known; PostgreSQL says more about it than SQLite does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RawCell<'a> {
    /// No value.
    Null,
    /// `boolean`.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// Any floating-point number.
    Real(f64),
    /// Text, JSON as text, or the label of an enum.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// `uuid`.
    Uuid(Uuid),
    /// `timestamptz`, or `timestamp` taken as UTC.
    Time(Timestamp),
}

impl Row {
    pub(crate) fn pg(row: tokio_postgres::Row) -> Self {
        Self(Answer::Pg(row))
    }

    pub(crate) fn sqlite(names: Arc<[String]>, values: Vec<rusqlite::types::Value>) -> Self {
        Self(Answer::Sqlite { names, values })
    }

    /// The column of this name.
    pub fn get<T: Cell>(&self, name: &str) -> Result<T, StoreError> {
        let found = match &self.0 {
            Answer::Pg(row) => row.columns().iter().position(|c| c.name() == name),
            Answer::Sqlite { names, .. } => names.iter().position(|n| n == name),
        };
        let index = found.ok_or_else(|| StoreError::Schema(format!("the answer has no column {name}")))?;
        self.at(index)
    }

    /// The column at this place, from 0.
    pub fn at<T: Cell>(&self, index: usize) -> Result<T, StoreError> {
        let raw = match &self.0 {
            Answer::Pg(row) => row.try_get::<_, RawCell<'_>>(index).map_err(|e| e.to_string()),
            Answer::Sqlite { values, .. } => {
                values.get(index).map(from_sqlite).ok_or_else(|| "no such column".into())
            }
        };
        raw.and_then(T::read)
            .map_err(|problem| StoreError::Schema(format!("column {}: {problem}", self.label(index))))
    }

    fn label(&self, index: usize) -> String {
        let name = match &self.0 {
            Answer::Pg(row) => row.columns().get(index).map(|c| c.name().to_owned()),
            Answer::Sqlite { names, .. } => names.get(index).cloned(),
        };
        name.unwrap_or_else(|| format!("number {index}"))
    }
}

fn from_sqlite(value: &rusqlite::types::Value) -> RawCell<'_> {
    use rusqlite::types::Value as Lite;
    match value {
        Lite::Null => RawCell::Null,
        Lite::Integer(v) => RawCell::Int(*v),
        Lite::Real(v) => RawCell::Real(*v),
        Lite::Text(v) => RawCell::Text(v),
        Lite::Blob(v) => RawCell::Bytes(v),
    }
}

/// Microseconds from 1970 to 2000, PostgreSQL's own epoch.
const PG_EPOCH: i64 = 946_684_800_000_000;

impl<'a> FromSql<'a> for RawCell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Bool(bool::from_sql(ty, raw)?),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::OID => Self::Int(u32::from_sql(ty, raw)?.into()),
            Type::FLOAT4 => Self::Real(f32::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Bytes(raw),
            Type::UUID => Self::Uuid(Uuid::from_sql(ty, raw)?),
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                let since_2000 = i64::from_be_bytes(raw.try_into()?);
                Self::Time(Timestamp::from_microsecond(since_2000.saturating_add(PG_EPOCH))?)
            }
            Type::JSONB => Self::Text(std::str::from_utf8(raw.get(1..).unwrap_or_default())?),
            _ => Self::Text(std::str::from_utf8(raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        const KNOWN: [Type; 17] = [
            Type::BOOL,
            Type::INT2,
            Type::INT4,
            Type::INT8,
            Type::OID,
            Type::FLOAT4,
            Type::FLOAT8,
            Type::BYTEA,
            Type::UUID,
            Type::TIMESTAMPTZ,
            Type::TIMESTAMP,
            Type::JSONB,
            Type::JSON,
            Type::TEXT,
            Type::VARCHAR,
            Type::BPCHAR,
            Type::NAME,
        ];
        KNOWN.contains(ty) || ty.name() == "citext" || matches!(ty.kind(), PgKind::Enum(_))
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
