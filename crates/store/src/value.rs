//! What goes into a statement: single values and, for batches, whole columns.
//!
//! The variant decides the PostgreSQL type, so nothing is asked of the server first. Times are integer
//! microseconds and ids are lower-case text with hyphens in SQLite.

use backshift_core::{Bytes, JobId, Kind, QueueName, Timestamp, Token, WorkerName};
use uuid::Uuid;

/// One parameter; `None` is NULL of that type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `boolean`; 0 or 1 in SQLite.
    Bool(Option<bool>),
    /// `bigint`: overloaded PostgreSQL functions need a cast such as `$1::int`.
    Int(Option<i64>),
    /// `double precision`.
    Real(Option<f64>),
    /// `text`.
    Text(Option<String>),
    /// `bytea`; `BLOB` in SQLite.
    Bytes(Option<Bytes>),
    /// `uuid`; text in SQLite.
    Uuid(Option<Uuid>),
    /// `timestamptz`; integer microseconds since 1970 in SQLite.
    Time(Option<Timestamp>),
    /// `jsonb`; text in SQLite.
    Json(Option<serde_json::Value>),
}

/// One parameter of a batch: a value for every row. An array for `unnest` on PostgreSQL, one run a row on SQLite.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// `boolean[]`.
    Bools(Vec<Option<bool>>),
    /// `bigint[]`.
    Ints(Vec<Option<i64>>),
    /// `text[]`; also JSON, cast in the statement.
    Texts(Vec<Option<String>>),
    /// `bytea[]`.
    Bytes(Vec<Option<Bytes>>),
    /// `uuid[]`.
    Uuids(Vec<Option<Uuid>>),
    /// `timestamptz[]`.
    Times(Vec<Option<Timestamp>>),
}

impl Column {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Bools(v) => v.len(),
            Self::Ints(v) => v.len(),
            Self::Texts(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::Uuids(v) => v.len(),
            Self::Times(v) => v.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of one row; NULL beyond the end.
    pub(crate) fn row(&self, row: usize) -> Value {
        match self {
            Self::Bools(v) => Value::Bool(v.get(row).copied().flatten()),
            Self::Ints(v) => Value::Int(v.get(row).copied().flatten()),
            Self::Texts(v) => Value::Text(v.get(row).cloned().flatten()),
            Self::Bytes(v) => Value::Bytes(v.get(row).cloned().flatten()),
            Self::Uuids(v) => Value::Uuid(v.get(row).copied().flatten()),
            Self::Times(v) => Value::Time(v.get(row).copied().flatten()),
        }
    }
}

macro_rules! into_value {
    ($($from:ty => $variant:ident, $column:ident, |$it:ident| $make:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($it: $from) -> Self {
                Self::$variant(Some($make))
            }
        }

        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(|$it| $make))
            }
        }

        impl From<Vec<$from>> for Column {
            fn from(values: Vec<$from>) -> Self {
                Self::$column(values.into_iter().map(|$it| Some($make)).collect())
            }
        }

        impl From<Vec<Option<$from>>> for Column {
            fn from(values: Vec<Option<$from>>) -> Self {
                Self::$column(values.into_iter().map(|it| it.map(|$it| $make)).collect())
            }
        }
    )*};
}

into_value! {
    bool => Bool, Bools, |v| v;
    i64 => Int, Ints, |v| v;
    i32 => Int, Ints, |v| v.into();
    i16 => Int, Ints, |v| v.into();
    u32 => Int, Ints, |v| v.into();
    u16 => Int, Ints, |v| v.into();
    Token => Int, Ints, |v| v.0;
    String => Text, Texts, |v| v;
    &str => Text, Texts, |v| v.to_owned();
    &String => Text, Texts, |v| v.clone();
    &QueueName => Text, Texts, |v| v.as_str().to_owned();
    &Kind => Text, Texts, |v| v.as_str().to_owned();
    &WorkerName => Text, Texts, |v| v.as_str().to_owned();
    Bytes => Bytes, Bytes, |v| v;
    Uuid => Uuid, Uuids, |v| v;
    JobId => Uuid, Uuids, |v| v.0;
    Timestamp => Time, Times, |v| v;
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(Some(value))
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(Some(value))
    }
}

impl From<Option<serde_json::Value>> for Value {
    fn from(value: Option<serde_json::Value>) -> Self {
        Self::Json(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_gives_one_value_a_row() {
        let column = Column::from(vec![Some("a"), None]);
        assert_eq!(column.row(0), Value::from("a"));
        assert_eq!(column.row(1), Value::Text(None));
        assert_eq!(column.len(), 2);
    }
}
