//! The hot statements of the ledger on SQLite, as closures for the writer thread.
//!
//! There is one writer, so what it does not do is won: parameters are `?n` and bound by position, times are bound
//! once a batch, and rows are read without a copy between. PostgreSQL's side stands in the modules above.

mod claim;
mod enqueue;
mod finish;
mod read;

pub(crate) use claim::{
    ANY_ASIDE, CLAIM, CLAIM_ALONE, CLAIM_PLACES, FIRST_ASIDE, FIRST_IN_LINE, PAUSED, PUT_ALONE_ASIDE,
    PUT_ASIDE, TAKE_SEAT, Take, claim_alone_on, claim_on,
};
pub(crate) use enqueue::{INSERT, insert_on};
pub(crate) use finish::{COMPLETE, complete_on};

use uuid::{Uuid, fmt::Hyphenated};

/// An id as SQLite holds it, without an allocation.
struct IdText([u8; Hyphenated::LENGTH]);

impl IdText {
    fn new(id: Uuid) -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        id.as_hyphenated().encode_lower(&mut text);
        Self(text)
    }
}

impl rusqlite::ToSql for IdText {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Text(&self.0)))
    }
}
