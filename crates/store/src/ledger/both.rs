//! `both!`: one statement for both databases, put together from literals and a few words that differ.
//!
//! `own` is the SQL broker of that database, as the partial indexes spell it: a parameter would not match them.

use crate::Sql;

/// Builds a [`Sql`] from literals and the words `own`, `seated`, `lock`, `skip`, `us`, `int`, `greatest`, `least`.
macro_rules! both {
    ($($part:tt)+) => {
        $crate::Sql {
            pg: concat!($($crate::ledger::both::part!(pg $part)),+),
            sqlite: concat!($($crate::ledger::both::part!(sqlite $part)),+),
        }
    };
}

macro_rules! part {
    (pg own) => {
        "'postgres'"
    };
    (sqlite own) => {
        "'embedded'"
    };
    (pg seated) => {
        "NOT superseded"
    };
    (sqlite seated) => {
        "superseded = 0"
    };
    (pg lock) => {
        " FOR UPDATE"
    };
    (sqlite lock) => {
        ""
    };
    (pg skip) => {
        " FOR UPDATE SKIP LOCKED"
    };
    (sqlite skip) => {
        ""
    };
    (pg us) => {
        " * interval '1 microsecond'"
    };
    (sqlite us) => {
        ""
    };
    (pg int) => {
        "::int"
    };
    (sqlite int) => {
        ""
    };
    (pg greatest) => {
        "GREATEST"
    };
    (sqlite greatest) => {
        "MAX"
    };
    (pg least) => {
        "LEAST"
    };
    (sqlite least) => {
        "MIN"
    };
    ($dialect:ident $text:literal) => {
        $text
    };
}

/// A statement that is the same on both, where a constant needs a [`Sql`].
pub(crate) const fn same(text: &'static str) -> Sql {
    Sql { pg: text, sqlite: text }
}

/// A statement that only SQLite is sent: its closures say in several what PostgreSQL says in one.
pub(crate) const fn only_sqlite(text: &'static str) -> Sql {
    Sql { pg: "SELECT 1", sqlite: text }
}

pub(crate) use both;
pub(crate) use part;
