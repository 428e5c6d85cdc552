//! One value of an answer, as both databases can say it.

use backshift_core::Timestamp;
use uuid::Uuid;

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
