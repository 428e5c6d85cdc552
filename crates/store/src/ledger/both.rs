//! `both!`: one statement for both databases, put together from literals and a few words that differ.
//!
//! The words are no names of Rust: one that is not listed here does not compile.

use crate::Sql;

/// Builds a [`Sql`] from literals and the words `lock`, `us`, `greatest`, `least`; `ids` and `job_ids` are a column of jobs.
///
/// `cancelled`, `closed`, `stopped`, `leaving` and `again` set the marks of PostgreSQL's row (see the engine's first migration) and
/// end with a comma: of a job that is cancelled, of one that becomes what `$2` says (dead or cancelled), of one that is cancelled
/// unless it runs, of a running one that gives up its seat, and of one that waits from the beginning.
macro_rules! both {
    ($($part:tt)+) => {
        $crate::Sql {
            pg: concat!($($crate::ledger::both::part!(pg $part)),+),
            sqlite: concat!($($crate::ledger::both::part!(sqlite $part)),+),
        }
    };
}

macro_rules! part {
    (pg cancelled) => {
        "seat = NULL, leaving = NULL, kept = false, abroad = NULL, unpublished = NULL, "
    };
    (sqlite cancelled) => {
        ""
    };
    (pg closed) => {
        "seat = NULL, leaving = NULL, kept = ($2 = 'dead'), abroad = NULL, unpublished = NULL, "
    };
    (sqlite closed) => {
        ""
    };
    (pg stopped) => {
        "seat = CASE WHEN status = 'running' THEN seat END, kept = CASE WHEN status <> 'running' THEN false END, \
         abroad = CASE WHEN status = 'running' THEN abroad END, unpublished = NULL, "
    };
    (sqlite stopped) => {
        ""
    };
    (pg leaving) => {
        "seat = NULL, leaving = unique_key, "
    };
    (sqlite leaving) => {
        ""
    };
    (pg again) => {
        "seat = unique_key, leaving = NULL, kept = NULL, abroad = CASE WHEN broker <> 'postgres' THEN queue END, \
         unpublished = CASE WHEN broker <> 'postgres' THEN broker END, "
    };
    (sqlite again) => {
        ""
    };
    (pg lock) => {
        " FOR UPDATE"
    };
    (sqlite lock) => {
        ""
    };
    (pg ids) => {
        "id = ANY ((SELECT $1::uuid[])::uuid[])"
    };
    (sqlite ids) => {
        "id = $1"
    };
    (pg job_ids) => {
        "job_id = ANY ((SELECT $1::uuid[])::uuid[])"
    };
    (sqlite job_ids) => {
        "job_id = $1"
    };
    (pg us) => {
        " * interval '1 microsecond'"
    };
    (sqlite us) => {
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
