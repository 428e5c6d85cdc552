//! What goes into a statement and comes out of it, as SQLite holds it.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value as Lite, ValueRef};

use crate::{RawCell, Value};

/// A row, copied out of the statement that gave it.
#[derive(Debug)]
pub(crate) struct LiteRow {
    pub(super) names: Arc<[String]>,
    pub(super) values: Vec<Lite>,
}

impl LiteRow {
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|one| one == name)
    }

    pub(crate) fn cell(&self, index: usize) -> Result<RawCell<'_>, String> {
        self.values.get(index).map(raw).ok_or_else(|| "no such column".into())
    }

    pub(crate) fn name(&self, index: usize) -> Option<&str> {
        self.names.get(index).map(String::as_str)
    }
}

fn raw(value: &Lite) -> RawCell<'_> {
    match value {
        Lite::Null => RawCell::Null,
        Lite::Integer(v) => RawCell::Int(*v),
        Lite::Real(v) => RawCell::Real(*v),
        Lite::Text(v) => RawCell::Text(v),
        Lite::Blob(v) => RawCell::Bytes(v),
    }
}

impl Value {
    /// The same value as SQLite stores it.
    pub(super) fn to_sqlite(&self) -> ToSqlOutput<'_> {
        let own = |value: Lite| ToSqlOutput::Owned(value);
        let value = match self {
            Self::Bool(v) => v.map(|v| own(Lite::Integer(v.into()))),
            Self::Int(v) => v.map(|v| own(Lite::Integer(v))),
            Self::Real(v) => v.map(|v| own(Lite::Real(v))),
            Self::Text(v) => v.as_ref().map(|v| ToSqlOutput::Borrowed(ValueRef::Text(v.as_bytes()))),
            Self::Bytes(v) => v.as_ref().map(|v| ToSqlOutput::Borrowed(ValueRef::Blob(v))),
            Self::Uuid(v) => v.map(|v| own(Lite::Text(v.as_hyphenated().to_string()))),
            Self::Time(v) => v.map(|v| own(Lite::Integer(v.as_microsecond()))),
            Self::Json(v) => v.as_ref().map(|v| own(Lite::Text(v.to_string()))),
        };
        value.unwrap_or(ToSqlOutput::Owned(Lite::Null))
    }
}

#[cfg(test)]
mod tests {
    use backshift_core::{JobId, Timestamp};

    use super::*;

    #[test]
    fn sqlite_stores_times_as_microseconds_and_ids_as_lower_case_text() {
        let time: Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        let own = ToSqlOutput::Owned;
        assert_eq!(Value::from(time).to_sqlite(), own(Lite::Integer(1_795_262_400_500_000)));
        let id: JobId = "019AA3C17F2E7C409D1B2B1F0E6D8A55".parse().unwrap();
        let text = "019aa3c1-7f2e-7c40-9d1b-2b1f0e6d8a55";
        assert_eq!(Value::from(id).to_sqlite(), own(Lite::Text(text.into())));
        assert_eq!(Value::from(None::<&str>).to_sqlite(), own(Lite::Null));
    }
}
